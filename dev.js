// `npm run dev`: the service from its sources by fastify-cli, restarted on save, with readable logs.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { endWithShell } from './npm-shell.js'
import { run } from './src/commands/run.ts'
import { welcome } from './src/commands/welcome.ts'
import { loadConfig } from './src/config/config.ts'

await run(async () => {
  const config = loadConfig()
  const { host, port } = config
  console.log(await welcome(config, `http://${host.includes(':') ? `[${host}]` : host}:${port}`))
  const watch = ['--watch', '--ignore-watch', '.data .tap dist test']
  const logs = ['--pretty-logs', '--log-level', 'info']
  const address = ['--address', host, '--port', String(port)]
  const cli = createRequire(import.meta.url).resolve('fastify-cli/cli.js')
  const child = spawn(process.execPath, [cli, 'start', ...watch, ...logs, ...address, '--options', 'src/app.ts'], {
    env: { ...process.env, FASTIFY_AUTOLOAD_TYPESCRIPT: '1', NODE_OPTIONS: '--import tsx' },
    stdio: 'inherit',
    // A group of their own: fastify-cli does not pass SIGTERM on to the process that serves.
    detached: true
  })
  child.once('exit', (code) => process.exit(code ?? 1))
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.kill(-(child.pid ?? 0), 'SIGTERM'))
  endWithShell()
})
