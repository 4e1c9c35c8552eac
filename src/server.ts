import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import { readOptions, run } from './commands/run.ts'
import { welcome } from './commands/welcome.ts'
import { loadConfig } from './config/config.ts'

/** Within this the requests in flight end and the process exits 0; Docker and Kubernetes kill after 10 s and more. */
const DRAIN_MS = 8000

const USAGE =
  'Usage: node dist/src/server.js\n\nStarts the service. Variables of the environment configure it (README).'

/** The production process: listens on HOST:PORT, and drains on SIGTERM and SIGINT. */
await run(async () => {
  readOptions(USAGE)
  const config = loadConfig()
  // Not at the top: it reads the environment too, and a fault there must end in a sentence.
  const { default: app, options } = await import('./app.ts')
  const server = Fastify(options)
  const grace = closeWithGrace({ delay: DRAIN_MS }, async ({ err, signal }) => {
    if (err) server.log.fatal({ err }, 'closing after an error that nobody caught')
    else server.log.info({ signal }, 'closing')
    await server.close()
  })
  try {
    await server.register(app, { config })
    // Node's 511 makes clients of a crowd wait for seconds until TCP tries again; the kernel has a limit of its own
    // (somaxconn).
    const address = await server.listen({ host: config.host, port: config.port, backlog: 4096 })
    if (!config.production) console.log(await welcome(config, address))
  } catch (error) {
    // It would exit 0 once nothing is left to do.
    grace.uninstall()
    await server.close()
    throw error
  }
})
