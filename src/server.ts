import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import { readOptions, run } from './commands/run.ts'
import { welcome } from './commands/welcome.ts'
import { loadConfig } from './config/config.ts'

/** Time for the requests in flight to end before the process exits. Docker kills it after 10 s, Kubernetes after 30. */
const DRAIN_MS = 8000

const USAGE =
  'Usage: node dist/src/server.js\n\nStarts the service. Environment variables configure it (docs/configuration.md).'

/** The production process: listens on HOST:PORT, and drains on SIGTERM and SIGINT. */
await run(async () => {
  readOptions(USAGE)
  const config = loadConfig()
  // A dynamic import, because src/app.ts reads the environment too. With a static import, a fault would end in a stack.
  const { default: app, options } = await import('./app.ts')
  const server = Fastify(options)
  const grace = closeWithGrace({ delay: DRAIN_MS }, async ({ err, signal }) => {
    if (err) server.log.fatal({ err }, 'closing after an error that nobody caught')
    else server.log.info({ signal }, 'closing')
    await server.close()
  })
  try {
    await server.register(app, { config })
    // When the queue of new connections is full, clients wait seconds until TCP retries. Node's default is 511. The
    // kernel has a limit too (somaxconn).
    const address = await server.listen({ host: config.host, port: config.port, backlog: 4096 })
    if (!config.production) console.log(await welcome(config, address))
  } catch (error) {
    // Otherwise closeWithGrace would end the process with code 0 once nothing is left to do.
    grace.uninstall()
    await server.close()
    throw error
  }
})
