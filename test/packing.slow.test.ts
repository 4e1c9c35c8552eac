import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join } from 'node:path'
import t from 'tap'
import ts from 'typescript'

const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
const [packed] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], { encoding: 'utf8' }))
const files: string[] = packed.files.map(({ path }: { path: string }) => path)
const code = files.filter((file) => file.endsWith('.js') && file.startsWith('dist/'))

/** What a compiled file imports, statically or not. */
const importsOf = (file: string) =>
  ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles.map(({ fileName }) => fileName)

const nameOf = (specifier: string) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')

t.test('the package has all that its files import, and its exports, with types (issue 21)', async (t) => {
  t.ok(code.length > 150)
  const lacking = code.flatMap((file) =>
    importsOf(file)
      .filter((one) => one.startsWith('.'))
      .map((one) => join(dirname(file), one))
      .filter((one) => !files.includes(one))
      .map((one) => `${file} imports ${one}`)
  )
  t.same(lacking, [])
  const named = Object.values<Record<string, string>>(manifest.exports).flatMap((one) => Object.values(one))
  for (const file of [...named, manifest.bin.rowkeeper]) t.ok(files.includes(file.replace('./', '')), file)
})

t.test('it imports packages that it declares, those for development as optional peers (issue 21)', async (t) => {
  const declared = Object.keys({
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.peerDependencies
  })
  const names = code.flatMap(importsOf).filter((one) => !one.startsWith('.') && !one.startsWith('node:'))
  const undeclared = new Set(
    names.map(nameOf).filter((name) => !declared.includes(name) && !builtinModules.includes(name))
  )
  t.same([...undeclared], [])
  const installed = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
  const serving = code.filter((file) => !/^dist\/(?:test|src\/commands)\//.test(file))
  const needed = new Set(
    serving
      .flatMap(importsOf)
      .filter((one) => /^[@a-z]/.test(one) && !one.startsWith('node:'))
      .map(nameOf)
  )
  t.same(
    [...needed].filter((name) => !installed.includes(name)).sort(),
    [
      '@fastify/otel',

      '@opentelemetry/exporter-trace-otlp-http',
      '@opentelemetry/resources',
      '@opentelemetry/sdk-trace-node'
    ],
    'only tracing needs what is not installed with it'
  )
  const peers = Object.keys(manifest.peerDependencies)
  t.same(
    peers.filter((name) => !manifest.peerDependenciesMeta[name]?.optional),
    []
  )
})

t.test(
  'it ships no test, no resource of this repository and no secret; its source maps are whole (issue 21)',
  async (t) => {
    t.same(
      files.filter((file) => /^dist.*\.test\.|fixtures|drills|\/tasks\/|db\/schema\.|(^|\/)\.env$|\.data/.test(file)),
      []
    )
    for (const file of files.filter((file) => file.endsWith('.map'))) {
      const { sources, sourcesContent = [] } = JSON.parse(readFileSync(file, 'utf8'))
      if (sourcesContent.length !== sources.length) t.fail(`${file} has no sources`)
    }
    for (const file of code) {
      const [, map] = /^\/\/# sourceMappingURL=(.*)$/m.exec(readFileSync(file, 'utf8')) ?? []
      if (map !== undefined && !files.includes(join(dirname(file), map)))
        t.fail(`${file} names a map that is not there`)
    }
    t.ok(existsSync('templates/project/_package.json') && files.includes('templates/project/_package.json'))
  }
)
