// `npm start`: the Better Auth server, Rowkeeper and the app (Vite), each at an origin of its own, as they would be in
// production. What they keep is gone when they stop.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endWithShell } from '../../src/commands/npm-shell.js'
import { startAuth } from './auth.js'

const { WEB_PORT = '5173', AUTH_PORT = '4000', PORT = '3000', TOKEN_LIFETIME = '15m' } = process.env
const web = `http://localhost:${WEB_PORT}`
const auth = `http://localhost:${AUTH_PORT}`
const api = `http://localhost:${PORT}`

/** @param {string} name of a file, from here */
const path = (name) => fileURLToPath(new URL(name, import.meta.url))

await startAuth({ url: auth, web, tokenLifetime: TOKEN_LIFETIME })

// In a folder of its own Rowkeeper finds no `.env`, and makes its embedded database there.
const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-example-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const rowkeeper = spawn(process.execPath, [path('../../dist/src/server.js')], {
  cwd: folder,
  env: { LOG_LEVEL: 'warn', ...process.env, HOST: 'localhost', PORT, BETTER_AUTH_URL: auth, CORS_ORIGIN: web },
  stdio: ['ignore', 'pipe', 'inherit']
})
// It tells where it is as soon as it listens.
await Promise.race([once(rowkeeper.stdout, 'data'), once(rowkeeper, 'exit')])
rowkeeper.stdout.resume()
if (rowkeeper.exitCode !== null) process.exit(1)
console.log(`
  Rowkeeper    ${api}/docs
  Better Auth  ${auth}/api/auth`)
const flags = ['--port', WEB_PORT, '--strictPort', '--clearScreen', 'false']
const vite = spawn(process.execPath, [path('node_modules/vite/bin/vite.js'), ...flags], {
  cwd: path('.'),
  env: { ...process.env, VITE_AUTH_URL: auth, VITE_API_URL: api },
  stdio: ['ignore', 'inherit', 'inherit']
})

const programs = [rowkeeper, vite]
endWithShell()
let stopping = false
const stop = () => {
  if (!stopping) for (const program of programs) program.kill()
  stopping = true
}
process.once('SIGTERM', stop)
// The terminal sends it to all of them, and a second one would cut Rowkeeper short.
process.once('SIGINT', () => {
  stopping = true
})
await Promise.all(programs.map((program) => once(program, 'exit').then(stop)))
process.exit(programs.some(({ exitCode }) => exitCode) ? 1 : 0)
