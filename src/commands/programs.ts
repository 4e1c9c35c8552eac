import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { ConfigError } from '../config/error.ts'

/**
 * Finds a file of a package that the project has for development.
 *
 * @throws {ConfigError} when the project has not installed it
 */
export function fileOf(name: string, file: string): string {
  try {
    return join(dirname(createRequire(resolve('package.json')).resolve(name)), file)
  } catch {
    throw new ConfigError([`This needs ${name}: npm install --save-dev ${name}`])
  }
}

/**
 * Runs a program of Node.js, whose output is shown, and which ends with this one.
 *
 * @returns its exit code. It is 1 when the program reported an error, because drizzle-kit then ends with 0 as well
 */
export async function runNode(file: string, ...args: string[]): Promise<number> {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['inherit', 'inherit', 'pipe'] })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill(signal))
  let failed = false
  child.stderr.on('data', (chunk) => {
    process.stderr.write(chunk)
    failed ||= /^\w*Error\b/m.test(String(chunk))
  })
  const [code] = await once(child, 'close')
  return failed ? 1 : code
}
