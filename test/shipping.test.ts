import { readFileSync } from 'node:fs'
import { validate } from 'dockerfile-utils'
import t from 'tap'
import { parse } from 'yaml'
import { Environment } from '../src/config/environment.ts'

const read = (name: string) => readFileSync(name, 'utf8')

interface Service {
  build?: string
  image?: string
  read_only?: boolean
  cap_drop?: string[]
  environment?: Record<string, string>
}

t.test(
  'the Dockerfile is well-formed, and its last stage runs as another user and is asked for its health',
  async (t) => {
    const text = read('Dockerfile')
    t.same(validate(text), [])
    const last = text.slice(text.lastIndexOf('\nFROM '))
    t.match(last, /^USER node$/m)
    t.match(last, /^HEALTHCHECK .*\/health\/live/m)
    t.notMatch(last, /^RUN /m, 'it installs nothing')
  }
)

t.test('compose.yaml gives the service what it reads, and no secret a default', async (t) => {
  const { services } = parse(read('compose.yaml'), { merge: true }) as { services: Record<string, Service> }
  t.same(Object.keys(services), ['migrate', 'service', 'postgres', 'redis'])
  for (const { environment = {}, ...one } of [services.migrate ?? {}, services.service ?? {}]) {
    t.match(one, { build: '.', read_only: true, cap_drop: ['ALL'] })
    t.same(
      Object.keys(environment).filter((name) => !(name in Environment.properties)),
      []
    )
    t.match(environment.DATABASE_URL, /:\$\{POSTGRES_PASSWORD:\?[^}]+\}@/)
    t.equal(environment.BETTER_AUTH_SECRET, `\${BETTER_AUTH_SECRET:-}`, 'which the service refuses in production')
  }
  t.match(services.postgres, { image: 'postgres:18', environment: { POSTGRES_PASSWORD: /^\$\{POSTGRES_PASSWORD:\?/ } })
})

t.test('each production dependency has its reason', async (t) => {
  const { dependencies, optionalDependencies } = JSON.parse(read('package.json'))
  const told = [...read('docs/dependencies.md').matchAll(/^\| `(\S+)` \| \S/gm)].map(([, name]) => name)
  t.same(told, [...Object.keys(dependencies), ...Object.keys(optionalDependencies)])
})
