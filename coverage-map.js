import { readdirSync } from 'node:fs'
import { join } from 'node:path'

// Reached only with a Redis beside it, or with several connections to a server's PostgreSQL, as CI has.
const elsewhere = [
  ...(process.env.TEST_REDIS ? [] : [join('src', 'limits', 'redis.ts')]),
  ...(process.env.TEST_DATABASE_URL ? [] : [join('src', 'db', 'transaction.ts'), join('src', 'db', 'wall.ts')])
]

// The gate is on what ships, by whatever test it is reached; the tests' own helpers are no part of it.
const files = ['src', 'plugins', 'routes'].flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts') && !elsewhere.includes(name))
)

export default () => files
