import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The text that is replaced, and what replaces it. */
interface Replacement {
  find: string
  put: string
}

export interface Mutation extends Replacement {
  /** What is broken. */
  what: string
  file: string
  /** What else must be replaced for that, in the same file. */
  also?: Replacement[]
  /** The test file that must notice (without `test/` and `.ts`), and a part of the title of its test. */
  test: string
  title: string
  /** Set when only a PostgreSQL server shows it (`TEST_DATABASE_URL`), because the embedded engine has one session. */
  server?: true
}

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')

function replace(source: string, { find, put }: Replacement): string {
  // A chain of calls may be broken into lines before each dot.
  const pattern = new RegExp(escaped(find).replaceAll(/(?<=\W)(?=\\\.)/g, '\\s*'))
  return source.replace(pattern, () => put)
}

const replacementsOf = (mutation: Mutation): Replacement[] => [mutation, ...(mutation.also ?? [])]

/** The source with the mutation applied. It is unchanged when the source does not contain all of the text. */
export function mutate(source: string, mutation: Mutation): string {
  const replacements = replacementsOf(mutation)
  return replacements.some((one) => replace(source, one) === source) ? source : replacements.reduce(replace, source)
}

const IMPORT = /from '(\.[^']+\.ts)'/g

/** The text of a test file and of the modules below `test/` that it imports, because they may hold its tests. */
function testText(file: string, read = new Set<string>()): string {
  if (read.has(file)) return ''
  read.add(file)
  const text = readFileSync(file, 'utf8')
  const imported = [...text.matchAll(IMPORT)].map(([, path = '']) => join(dirname(file), path))
  return [text, ...imported.filter((path) => path.startsWith('test/')).map((path) => testText(path, read))].join()
}

/** Whether a test in the text has that title. A placeholder in the template of a title stands for any text. */
function hasTitle(text: string, title: string): boolean {
  if (text.includes(title)) return true
  const templates = [...text.matchAll(/\.test\(\s*`([^`]+)`/g)].map(([, template = '']) =>
    template.split(/\$\{[^}]*\}/)
  )
  return templates.some((parts) => new RegExp(`^${parts.map(escaped).join('.+')}$`).test(title))
}

/** Why the mutation can no longer be applied or noticed; empty when it can. */
export function problemsOf(mutation: Mutation): string[] {
  const { file, test, title } = mutation
  const testFile = `test/${test}.ts`
  const problems: string[] = []
  if (!existsSync(file)) problems.push(`${file} does not exist`)
  else {
    const source = readFileSync(file, 'utf8')
    for (const one of replacementsOf(mutation)) {
      if (replace(source, one) === source) problems.push(`${file} does not contain: ${one.find}`)
    }
  }
  if (!existsSync(testFile)) problems.push(`${testFile} does not exist`)
  else if (!hasTitle(testText(testFile), title)) problems.push(`${testFile} has no test with the title: ${title}`)
  return problems
}
