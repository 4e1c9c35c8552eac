import Fastify from 'fastify'
import { loadConfig } from '../config/config.ts'
import { app, serverOptions } from '../server.ts'
import { command } from './command.ts'
import { builtProject } from './run.ts'

/** The routes need no database: no server answers at this address, and nothing is asked of it. */
const WITHOUT_DATABASE = 'postgres://127.0.0.1:1/none'

/** `rowkeeper routes`: prints the routes as a tree. */
export default command({
  synopsis: '',
  about: 'Lists the routes of the project with their methods, as a tree.',
  async run() {
    const project = await builtProject()
    const config = loadConfig({ ...process.env, DATABASE_URL: WITHOUT_DATABASE, LOG_LEVEL: 'silent', METRICS_PORT: '' })
    const server = Fastify(serverOptions(config))
    await server.register(app, { ...project, config })
    await server.ready()
    console.log(server.printRoutes())
    await server.close()
  }
})
