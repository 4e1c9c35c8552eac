// `npm run dev` serves at HOST and PORT, says where, and ends with npm (issue 16).
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { freePort } from './support/free-port.ts'

const port = await freePort('127.0.0.2')
const npm = spawn('npm', ['run', 'dev'], {
  env: { ...process.env, HOST: '127.0.0.2', PORT: String(port), NO_COLOR: '1' },
  stdio: ['ignore', 'pipe', 'inherit']
})
let told = ''
for await (const line of createInterface(npm.stdout)) {
  told += `${line}\n`
  if (!line.includes('listening')) continue
  const answer = await fetch(`http://127.0.0.2:${port}/health/live`)
  assert.equal(answer.status, 200)
  npm.kill()
}
// The server shares this output, which closes when the last of its processes has ended.
if (npm.exitCode === null && npm.signalCode === null) await once(npm, 'exit')
assert.ok(told.includes(`http://127.0.0.2:${port}/docs`), told)
assert.ok(told.includes(`listening at http://127.0.0.2:${port}`), told)
console.log('`npm run dev` serves where it says, and ends with npm.')
