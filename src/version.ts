import { readFileSync } from 'node:fs'

/** The version of the service: package.json lies beside `src/`, and the build puts it there too. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}
