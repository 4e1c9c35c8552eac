import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { TSchema } from '@sinclair/typebox'
import { builtProject } from '../../src/commands/run.ts'
import { validatorCompiler } from '../../src/http/validation.ts'
import type { Declaration } from '../../src/resource/declaration.ts'
import { exampleOf } from '../../src/resource/example.ts'
import type { Keywords } from '../../src/resource/kind.ts'
import type { Member } from '../../src/resource/members.ts'
import type { Resource } from '../../src/resource/resource.ts'
import type { Values } from '../../src/resource/schemas.ts'
import type { Words } from '../../src/resource/words.ts'

/** A resource as the load test uses it. */
export interface LoadResource {
  /** The path of the list: `/api/tasks`. */
  path: string
  words: Words
  tableName: string
  /** The text member whose value begins with `markOf` its owner. Undefined when no member can have that. */
  ownerMember: string | undefined
  /** The body of an item that the service is filled with, and those of a create and of an update under load. */
  filled(sub: string, number: number): Values
  created(sub: string): Values
  changed(sub: string): Values
}

/** What the texts of a user begin with, and nobody else's do. */
export const markOf = (sub: string) => `${sub}: `

const TEXT = 'Made by the load test'
const LONGEST_MARK = markOf('load-100000')

const fits = (schema: Keywords, value: unknown) =>
  validatorCompiler({ schema: schema as TSchema, method: 'POST', url: '', httpPart: 'body' })(value) === true

/** Text, as long as a schema asks for. */
const sized = (text: string, { minLength = 0, maxLength }: Partial<TSchema>): string =>
  text.slice(0, maxLength).padEnd(minLength, '.')

/** Whether a member holds any text, and enough of it to begin with a mark. */
function holdsMark({ kind, schema }: Member): boolean {
  const text = sized(LONGEST_MARK, schema)
  return kind.name === 'text' && text.startsWith(LONGEST_MARK) && fits(schema, text)
}

/**
 * What the load test needs to know of a resource. Its bodies follow from the declaration: they have each member for
 * which we find a value.
 *
 * @throws for a member that a create needs, when we find no value for it
 */
export function loadResource(
  { words, tableName, members }: Pick<Declaration, 'words' | 'tableName' | 'members'>,
  path: string
): LoadResource {
  const values = new Map(members.map((member) => [member, exampleOf(member.schema, TEXT)]))
  const settable = members.filter(({ setBy }) => setBy !== 'server')
  const unknown = settable.find((member) => member.required && values.get(member) === undefined)
  if (unknown !== undefined) {
    throw new Error(`The load test finds no value for "${unknown.name}": give its schema one in "examples".`)
  }
  const owner = settable.find(holdsMark)
  const bodyOf = (chosen: Member[]) => {
    const known = chosen.filter((member) => values.get(member) !== undefined)
    const body = Object.fromEntries(known.map((member) => [member.name, values.get(member)]))
    if (owner === undefined || !known.includes(owner)) return () => body
    return (sub: string, text: string) => ({ ...body, [owner.name]: sized(`${markOf(sub)}${text}`, owner.schema) })
  }
  const filled = bodyOf(settable)
  // Clients rarely send all members. Which ones these are must stay, or the reports of two versions do not compare.
  const created = bodyOf(settable.filter(({ kind, nullable }) => !(nullable && kind.name === 'text')))
  const changeable = settable.filter(({ setBy }) => setBy === 'client')
  const neverNull = changeable.filter(({ nullable }) => !nullable)
  const changed = bodyOf(neverNull.length > 0 ? neverNull : changeable)
  return {
    path,
    words,
    tableName,
    ownerMember: owner?.name,
    filled: (sub, number) => filled(sub, `${words.singular} ${number}`),
    created: (sub) => created(sub, `a new ${words.singular}`),
    changed: (sub) => changed(sub, `a changed ${words.singular}`)
  }
}

/**
 * Loads the built declaration of `/api/<name>`; without a name, of the first that there is. Throws a sentence when there
 * is none.
 */
export async function readResource(name?: string): Promise<LoadResource> {
  const { routes } = await builtProject()
  const folder = join(routes, 'api')
  for (const one of name === undefined ? readdirSync(folder).sort() : [name]) {
    const file = join(folder, one, 'index.js')
    const module = existsSync(file) ? await import(pathToFileURL(file).href) : {}
    const { declaration } = (module.default ?? {}) as Partial<Resource>
    if (declaration !== undefined) return loadResource(declaration, `/api/${one}`)
  }
  throw new Error(
    name === undefined ? 'No file of routes/api declares a resource.' : `routes/api/${name}/index declares no resource.`
  )
}
