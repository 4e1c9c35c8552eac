import { existsSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import app, { type Options, serverOptions } from './app.ts'
import { command } from './commands/command.ts'
import { builtProject, run, runCommand } from './commands/run.ts'
import { welcome } from './commands/welcome.ts'
import { loadConfig } from './config/config.ts'
import type { Project } from './project.ts'

export { app, type Options, serverOptions }

/** Time for the requests in flight to end before the process exits. Docker kills it after 10 s, Kubernetes after 30. */
const DRAIN_MS = 8000

/**
 * Starts the service, as production does: it listens on `HOST:PORT`, and drains on SIGTERM and SIGINT within 8 s. What
 * keeps it from starting is told in sentences, and the process ends with code 1.
 *
 * @param project what is served: its tables, and the folders of its routes and migrations. Without it, the project of
 * the working directory, by its layout (`src/project.ts`)
 */
export const start = (project: Partial<Project> = {}): Promise<void> =>
  run(async () => {
    const config = loadConfig()
    const server = Fastify(serverOptions(config))
    const grace = closeWithGrace({ delay: DRAIN_MS }, async ({ err, signal }) => {
      if (err) server.log.fatal({ err }, 'closing after an error that nobody caught')
      else server.log.info({ signal }, 'closing')
      await server.close()
    })
    try {
      await server.register(app, { ...project, config })
      // When the queue of new connections is full, clients wait seconds until TCP retries. Node's default is 511. The
      // kernel has a limit too (somaxconn).
      const address = await server.listen({ host: config.host, port: config.port, backlog: 4096 })
      if (!config.production) console.log(await welcome(server, address))
    } catch (error) {
      // Otherwise closeWithGrace would end the process with code 0 once nothing is left to do.
      grace.uninstall()
      await server.close()
      throw error
    }
  })

const starting = (find: () => Promise<Partial<Project>>) =>
  command({
    synopsis: '',
    about: 'Serves the project, on HOST:PORT. Environment variables configure it (docs/configuration.md).',
    run: async () => start(await find())
  })

/** `rowkeeper start`: serves the project of the working directory, built anew if its sources changed. */
export const startCommand = starting(builtProject)

// `node dist/src/server.js` serves what is built.
const [, program = '', ...given] = process.argv
if (existsSync(program) && realpathSync(program) === fileURLToPath(import.meta.url)) {
  await runCommand(
    'start',
    starting(async () => ({})),
    given
  )
}
