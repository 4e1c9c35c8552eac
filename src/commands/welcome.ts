import type { FastifyInstance } from 'fastify'
import { developmentToken } from '../auth/development-token.ts'
import { exampleBody } from '../resource/example.ts'

/**
 * Returns the text that a developer sees at start: the URLs of the resources and of their documentation. With a shared
 * secret it also has a request to try.
 *
 * @param address the URL of the service, without a slash at the end
 */
export async function welcome({ config, resources }: FastifyInstance, address: string): Promise<string> {
  const all = [...resources.values()]
  const [first] = all
  const lines = [
    '',
    ...all.map(({ path }, i) => `  ${(i === 0 ? 'The API' : '').padEnd(16)}${address}${path}`),
    `  Documentation   ${address}${config.docs ? '/docs' : '/openapi.json'}`,
    `  OpenAPI         ${address}/openapi.json`,
    ''
  ]
  if (config.auth.jwksUrl === undefined && first !== undefined) {
    const creatable = all.find(({ declaration }) => exampleBody(declaration) !== undefined)
    const { path } = creatable ?? first
    const token = await developmentToken(config, 'alice')
    const minutes = config.auth.maxLifetimeSeconds / 60
    const body = creatable && ` \\\n    --json '${JSON.stringify(exampleBody(creatable.declaration))}'`
    lines.push(
      `  Try it, as alice for ${minutes} minutes (npm run token -- --sub bob for somebody else):`,
      '',
      `  curl -H 'Authorization: Bearer ${token}'${body ?? ''} \\`,
      `    ${address}${path}`,
      ''
    )
  }
  return lines.join('\n')
}
