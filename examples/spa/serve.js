import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/**
 * Starts the service (`service/`). What it keeps is gone when this process ends.
 *
 * @param {Record<string, string>} env its variables
 * @returns the process, and its URL
 */
export async function serve(env) {
  // In a folder of its own it finds no `.env`, and makes its embedded database there.
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-example-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const service = spawn(process.execPath, [fileURLToPath(new URL('service/server.js', import.meta.url))], {
    cwd: folder,
    env: { LOG_LEVEL: 'warn', ...process.env, HOST: 'localhost', ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  // It tells where it is as soon as it listens. A warning may come before.
  for await (const line of createInterface(service.stdout)) {
    const [, url] = /OpenAPI +(http:.*)\/openapi\.json$/.exec(line) ?? []
    if (url === undefined) continue
    service.stdout.resume()
    return { service, url }
  }
  throw new Error('The service did not start')
}
