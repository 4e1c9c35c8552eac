import { readdirSync } from 'node:fs'
import { join } from 'node:path'

// Reached only with a Redis beside it, as CI has.
const elsewhere = process.env.TEST_REDIS ? [] : [join('src', 'limits', 'redis.ts')]

// The gate is on what ships, by whatever test it is reached; the tests' own helpers are no part of it.
const files = ['src', 'plugins', 'routes'].flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts') && !elsewhere.includes(name))
)

export default () => files
