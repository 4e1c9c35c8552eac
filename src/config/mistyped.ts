import { closest } from './closest.ts'
import { Environment } from './environment.ts'

const NAMES = Object.keys(Environment.properties)

/** The prefixes of our variables that hardly any other program uses. Our other prefixes are common. */
const PREFIX = /^(?:CORS|DATABASE|JWKS|JWT|RATE_LIMIT|ROWKEEPER|TRUST_PROXY|UNSENT|USER_STORAGE)_/i

/** A variable of Better Auth itself. Its name differs from ours by one letter. */
const BETTER_AUTH_SECRETS = 'BETTER_AUTH_SECRETS'

/** Variables that Kubernetes and Docker set for a service, such as one that is named `database`. */
const SERVICE_NAME = /_SERVICE_(?:HOST|PORT)|_PORT_\d+_(?:TCP|UDP|SCTP)/
const SERVICE_ADDRESS = /^(?:tcp|udp|sctp):\/\//

/**
 * These variables decide which rows are used, and whether PostgreSQL guards them. No default may replace them unseen.
 */
const DECIDES_DATA = new Set(['DATABASE_URL', 'DATABASE_RLS'])

/**
 * Finds variables that the service does not read but whose names suggest a slip: a name that is close to one of ours,
 * or that has one of our prefixes.
 *
 * @param data the environment, including `.env`
 * @returns sentences without values. In production, a mistyped variable that decides which data is used is a fault. A
 * mistyped `NODE_ENV` of production is always a fault, since nothing else tells that this is production. Everything
 * else is a warning
 */
export function mistyped(data: NodeJS.ProcessEnv): { warnings: string[]; faults: string[] } {
  const warnings: string[] = []
  const faults: string[] = []
  for (const [name, value = ''] of Object.entries(data)) {
    if (NAMES.includes(name) || name === BETTER_AUTH_SECRETS) continue
    if (SERVICE_NAME.test(name) || SERVICE_ADDRESS.test(value)) continue
    const ours = closest(name.toUpperCase(), NAMES)
    if (ours === undefined) {
      if (PREFIX.test(name)) warnings.push(`${name} has no effect: this service has no variable of that name.`)
    } else if (
      (ours === 'NODE_ENV' && value === 'production') ||
      (DECIDES_DATA.has(ours) && data.NODE_ENV === 'production' && data[ours] !== value)
    ) {
      faults.push(`${name} is no variable of this service: write ${ours}, or remove it.`)
    } else {
      warnings.push(`${name} has no effect: this service has no variable of that name. Is ${ours} meant?`)
    }
  }
  return { warnings, faults }
}
