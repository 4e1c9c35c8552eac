import { developmentToken } from '../auth/development-token.ts'
import { ConfigError } from '../config/error.ts'
import { command } from './command.ts'
import { commandConfig } from './run.ts'

/** `rowkeeper token --sub alice [--minutes 30] [--scope tasks:read]`: prints a token for development. */
export default command({
  synopsis: '--sub USER [--minutes N] [--scope "tasks:read tasks:write"]',
  about: 'Prints a token for development, as an issuer with the same secret would sign it.',
  options: { sub: 'string', minutes: 'string', scope: 'string' },
  async run({ sub, minutes, scope }) {
    if (!sub) throw new ConfigError(['rowkeeper token needs --sub USER.'])
    const lifetime = minutes === undefined ? undefined : Number(minutes)
    console.log(await developmentToken(commandConfig('all'), sub, { minutes: lifetime, scope }))
  }
})
