import { developmentToken } from '../auth/development-token.ts'
import type { Config } from '../config/config.ts'

/**
 * What a developer is told at start: where the API and its documentation are, and with a shared secret a request to try.
 *
 * @param address the service's URL, without a slash at its end
 */
export async function welcome(config: Config, address: string): Promise<string> {
  const lines = [
    '',
    `  The API         ${address}/api/tasks`,
    `  Documentation   ${address}${config.docs ? '/docs' : '/openapi.json'}`,
    `  OpenAPI         ${address}/openapi.json`,
    ''
  ]
  if (config.auth.jwksUrl === undefined) {
    const token = await developmentToken(config, 'alice')
    lines.push(
      `  Try it, as alice for ${config.auth.maxLifetimeSeconds / 60} minutes (npm run token -- --sub bob for somebody else):`,
      '',
      `  curl -H 'Authorization: Bearer ${token}' \\`,
      `    -H 'Content-Type: application/json' -d '{"title":"Buy milk"}' ${address}/api/tasks`,
      ''
    )
  }
  return lines.join('\n')
}
