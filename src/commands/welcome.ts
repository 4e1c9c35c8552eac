import { developmentToken } from '../auth/development-token.ts'
import type { Config } from '../config/config.ts'

/**
 * Returns the text that a developer sees at start: the URLs of the API and its documentation. With a shared secret it
 * also has a request to try.
 *
 * @param address the URL of the service, without a slash at the end
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
    const minutes = config.auth.maxLifetimeSeconds / 60
    lines.push(
      `  Try it, as alice for ${minutes} minutes (npm run token -- --sub bob for somebody else):`,
      '',
      `  curl -H 'Authorization: Bearer ${token}' \\`,
      `    -H 'Content-Type: application/json' -d '{"title":"Buy milk"}' ${address}/api/tasks`,
      ''
    )
  }
  return lines.join('\n')
}
