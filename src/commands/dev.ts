import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { command } from './command.ts'
import { fileOf } from './programs.ts'
import { commandConfig } from './run.ts'

/** The application for fastify-cli. That of this repository is loaded from the sources too. */
const OWN_SOURCES = 'src/fastify-cli.ts'
const PACKAGED = fileURLToPath(new URL('../fastify-cli.js', import.meta.url))

/** The environment in which sources in TypeScript run as they are. */
const TYPESCRIPT = { FASTIFY_AUTOLOAD_TYPESCRIPT: '1', NODE_OPTIONS: '--import tsx' }

/** `rowkeeper dev`: the service from its sources by fastify-cli, restarted on save, with readable logs. */
export default command({
  synopsis: '',
  about: 'Serves the project from its sources, and again when one changes, with readable logs.',
  async run() {
    const { host, port } = commandConfig('all')
    const cli = fileOf('fastify-cli', 'cli.js')
    const watch = ['--watch', '--ignore-watch', '.data .tap dist test']
    const logs = ['--pretty-logs', '--log-level', 'info']
    const file = existsSync(OWN_SOURCES) ? OWN_SOURCES : PACKAGED
    const served = ['--address', host, '--port', String(port), '--options', file, '--', '--sources']
    const child = spawn(process.execPath, [cli, 'start', ...watch, ...logs, ...served], {
      env: existsSync('tsconfig.json') ? { ...process.env, ...TYPESCRIPT } : process.env,
      stdio: 'inherit',
      // A group of their own: fastify-cli does not pass SIGTERM on to the process that serves.
      detached: true
    })
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.kill(-Number(child.pid), 'SIGTERM'))
    const [code] = await once(child, 'exit')
    process.exit(code)
  }
})
