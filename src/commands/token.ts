import { developmentToken } from '../auth/development-token.ts'
import { commandConfig, readOptions, run } from './run.ts'

const USAGE = 'Usage: npm run token -- --sub USER [--minutes N] [--scope "tasks:read tasks:write"]'

/** `npm run token -- --sub alice [--minutes 30] [--scope tasks:read]`: prints a token for development. */
await run(async () => {
  const values = readOptions(USAGE, ['sub', 'minutes', 'scope'])
  if (!values.sub) throw new Error(USAGE)
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  console.log(await developmentToken(commandConfig('all'), values.sub, { minutes, scope: values.scope }))
})
