import { Environment } from './environment.ts'

const NAMES = Object.keys(Environment.properties)

/** Prefixes of ours that hardly any other program has; one that shares the environment may well have the others. */
const PREFIX = /^(?:CORS|DATABASE|JWKS|JWT|RATE_LIMIT|ROWKEEPER|TRUST_PROXY|UNSENT|USER_STORAGE)_/i

/** Better Auth's own, which differs from ours by a letter. */
const BETTER_AUTH_SECRETS = 'BETTER_AUTH_SECRETS'

/** What Kubernetes and Docker set for a service that is called `database`, say. */
const OF_A_SERVICE = /_SERVICE_(?:HOST|PORT)|_PORT_\d+_(?:TCP|UDP|SCTP)/
const ADDRESS_OF_A_SERVICE = /^(?:tcp|udp|sctp):\/\//

/** In a short name two slips make another word: HOME is no HOST. */
const SHORT = 5
const SLIPS_MAX = 2

/** Which rows are reached, and whether PostgreSQL guards them: a default in the place of these must not pass. */
const DATA = new Set(['DATABASE_URL', 'DATABASE_RLS'])

/** How many letters are wrong, missing, too many or swapped (the optimal string alignment distance). */
function slips(from: string, to: string): number {
  let before: number[] = []
  let above = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const swapped = from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      row[j] = Math.min(
        Number(above[j - 1]) + Number(from[i - 1] !== to[j - 1]),
        Number(above[j]) + 1,
        Number(row[j - 1]) + 1,
        swapped ? Number(before[j - 2]) + 1 : Number.POSITIVE_INFINITY
      )
    }
    before = above
    above = row
  }
  return Number(above[to.length])
}

/** The variable of ours that a name is close to, in whatever case, if there is one. */
function closest(name: string): string | undefined {
  let found: string | undefined
  let fewest = SLIPS_MAX + 1
  for (const ours of NAMES) {
    if (Math.abs(ours.length - name.length) > SLIPS_MAX) continue
    const count = slips(name.toUpperCase(), ours)
    if (count >= fewest || (count > 1 && ours.length <= SHORT)) continue
    found = ours
    fewest = count
  }
  return found
}

/**
 * What a variable that is none of ours says of a slip: a name that is close to one of ours, or begins as ours do.
 *
 * @param data the environment, with what `.env` adds
 * @returns sentences without values. `faults` are for names that decide which data is used, in production; a mistyped
 * `NODE_ENV` of production is one everywhere, since nothing else says that it is production
 */
export function mistyped(data: NodeJS.ProcessEnv): { warnings: string[]; faults: string[] } {
  const warnings: string[] = []
  const faults: string[] = []
  for (const [name, value = ''] of Object.entries(data)) {
    if (NAMES.includes(name) || name === BETTER_AUTH_SECRETS) continue
    if (OF_A_SERVICE.test(name) || ADDRESS_OF_A_SERVICE.test(value)) continue
    const ours = closest(name)
    if (ours === undefined) {
      if (PREFIX.test(name)) warnings.push(`${name} has no effect: this service has no variable of that name.`)
    } else if (
      (ours === 'NODE_ENV' && value === 'production') ||
      (DATA.has(ours) && data.NODE_ENV === 'production' && data[ours] !== value)
    ) {
      faults.push(`${name} is no variable of this service: write ${ours}, or remove it.`)
    } else {
      warnings.push(`${name} has no effect: this service has no variable of that name. Is ${ours} meant?`)
    }
  }
  return { warnings, faults }
}
