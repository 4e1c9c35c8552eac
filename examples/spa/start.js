// `npm start`: the Better Auth server, Rowkeeper and the app (Vite), each at an origin of its own, as they would be in
// production. What they keep is gone when they stop.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { endWithShell } from '../../src/commands/npm-shell.js'
import { startAuth } from './auth.js'
import { serve } from './serve.js'
import { writeTypes } from './types.js'

const { WEB_PORT = '5173', AUTH_PORT = '4000', PORT = '3000', TOKEN_LIFETIME = '15m' } = process.env
const web = `http://localhost:${WEB_PORT}`
const auth = `http://localhost:${AUTH_PORT}`
const api = `http://localhost:${PORT}`

/** @param {string} name of a file, from here */
const path = (name) => fileURLToPath(new URL(name, import.meta.url))

await startAuth({ url: auth, web, tokenLifetime: TOKEN_LIFETIME })

const { service } = await serve({ PORT, BETTER_AUTH_URL: auth, CORS_ORIGIN: web })
await writeTypes(api)
console.log(`
  Rowkeeper    ${api}/docs
  Better Auth  ${auth}/api/auth`)
const flags = ['--port', WEB_PORT, '--strictPort', '--clearScreen', 'false']
const vite = spawn(process.execPath, [path('node_modules/vite/bin/vite.js'), ...flags], {
  cwd: path('.'),
  env: { ...process.env, VITE_AUTH_URL: auth, VITE_API_URL: api },
  stdio: ['ignore', 'inherit', 'inherit']
})

const programs = [service, vite]
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
