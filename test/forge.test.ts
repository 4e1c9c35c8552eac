import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'

const FOLDER = '.github'

const files = readdirSync(FOLDER, { recursive: true })
  .map((file) => join(FOLDER, String(file)))
  .filter((file) => statSync(file).isFile())

const read = (file: string) => readFileSync(join(FOLDER, file), 'utf8')

t.test('what the forge reads is well-formed, and names files that exist', async (t) => {
  t.ok(files.length > 0)
  for (const file of files) {
    const text = readFileSync(file, 'utf8')
    if (file.endsWith('.yml')) t.doesNotThrow(() => parse(text, { strict: true, uniqueKeys: true }), file)
    // Files with an ending, and .ci/run.
    for (const [name] of text.matchAll(/(?<![\w@/.-])(?:\.\/)?[\w.-]+(?:\/[\w.-]+)*\.(?:md|yml|json)\b|\.ci\/run/g)) {
      t.ok(existsSync(name), `${name} in ${file}`)
    }
  }
})

t.test(
  'no workflow has a secret, or a permission that it does not need, and each action has its major version',
  async (t) => {
    for (const file of files.filter((one) => one.includes('workflows'))) {
      const text = readFileSync(file, 'utf8')
      t.notMatch(text, /\bsecrets\b|_TOKEN\b/, file)
      t.same(parse(text).permissions, { contents: 'read' }, file)
      for (const [, action] of text.matchAll(/uses: (?!\.\/)(\S+)/g)) t.match(action, /^actions\/[\w-]+@v\d+$/)
    }
  }
)

t.test('CI is .ci/run, on the oldest Node.js that is supported', async (t) => {
  const { jobs } = parse(read('workflows/ci.yml'))
  t.match(jobs.ci.steps.at(-1), { run: '.ci/run' })
  const [, least] = /(\d+)/.exec(JSON.parse(readFileSync('package.json', 'utf8')).engines.node) ?? []
  t.match(jobs.ci.container, new RegExp(`^node:${least}-\\w+$`))
})

t.test('a release is published with its provenance, when CI has passed', async (t) => {
  const { on, jobs } = parse(read('workflows/release.yml'))
  t.same(on, { push: { tags: ['v*'] } })
  t.match(jobs.publish, { needs: 'ci', permissions: { contents: 'read', 'id-token': 'write' } })
  t.equal(jobs.ci.uses, './.github/workflows/ci.yml')
  t.match(jobs.publish.steps.at(-1).run, /^npm publish --provenance /)
})

t.test('dependabot looks at each lockfile', async (t) => {
  const { updates } = parse(read('dependabot.yml')) as { updates: Record<string, string & string[]>[] }
  const ecosystems = Object.fromEntries(updates.map((one) => [one['package-ecosystem'], one]))
  t.same(Object.keys(ecosystems), ['npm', 'github-actions', 'docker'])
  const folders = ecosystems.npm?.directories ?? []
  t.ok(folders.length > 1)
  for (const folder of folders) t.ok(existsSync(join('.', folder, 'package-lock.json')), folder)
})

t.test('the forms for issues have what GitHub asks for', async (t) => {
  const KINDS = ['markdown', 'textarea', 'input', 'dropdown', 'checkboxes']
  for (const form of ['bug', 'feature']) {
    const { name, description, body } = parse(read(`ISSUE_TEMPLATE/${form}.yml`))
    for (const text of [name, description]) t.match(text, /\S/, form)
    for (const { type, id, attributes } of body) {
      t.ok(KINDS.includes(type), type)
      if (type === 'markdown') t.match(attributes.value, 'SECURITY.md')
      else t.match([id, attributes.label], [/^\w+$/, /\S/])
    }
  }
})
