import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import { fetchJson } from './http.ts'
import type { Program } from './program.ts'

// What the programs share that use the service, or its package, from outside: in folders of their own, by processes.

/** A folder outside of the repository, gone when this process ends. */
export function scratchFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `rowkeeper-${name}-`))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  return folder
}

const MINUTE_MS = 60_000

/** Runs a program to its end, which comes within five minutes. */
export const attempt = (env: NodeJS.ProcessEnv, folder: string, command: string, ...args: string[]) =>
  spawnSync(command, args, {
    cwd: folder,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 5 * MINUTE_MS,
    killSignal: 'SIGKILL',
    maxBuffer: 100_000_000
  })

/** Returns what runs programs in an environment: it returns what one prints, and throws all of that when it fails. */
export const runner =
  (env: NodeJS.ProcessEnv) =>
  (folder: string, command: string, ...args: string[]): string => {
    const { status, error, stdout, stderr } = attempt(env, folder, command, ...args)
    if (status === 0) return stdout
    throw new Error(`${[command, ...args].join(' ')}: ${error ?? `exit code ${status}`}\n${stdout}${stderr}`)
  }

/** Resolves as `promise` does, and rejects when that takes longer. */
export async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  const settled = new AbortController()
  const late = sleep(seconds * 1000, undefined, { signal: settled.signal }).then(() => {
    throw new Error(`not within ${seconds} s: ${what}`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    settled.abort()
  }
}

/** Waits until `holds` does. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + MINUTE_MS
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within a minute: ${what}`)
    await sleep(20)
  }
}

/** Waits for what `line` finds in the output of a server, and stops the server when `use` is done with it. */
export async function serve(server: Program, line: RegExp, use: (found: string) => Promise<void>): Promise<void> {
  const kill = () => server.child.kill('SIGKILL')
  process.once('exit', kill)
  try {
    const [found] = await within(120, `the server prints ${line}`, server.printed(line))
    await use(found)
  } finally {
    server.child.kill()
    await within(30, 'the server ends', server.ended).finally(kill)
    process.off('exit', kill)
  }
}

/** The address in the log of a server that listens. */
export const LISTENING = /http:\/\/127\.0\.0\.1:\d+(?=")/

/** Calls paths below `url` for whom the token is. */
export const caller =
  (url: string) =>
  async (token: string | undefined, method: string, path = '', body?: object): Promise<[number, unknown]> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const answer = await fetchJson(`${url}${path}`, { method, headers, body })
    return [answer.status, answer.json()]
  }

/** The events of a stream, as they come. */
export async function* eventsOf(url: string, token: string, signal: AbortSignal) {
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal })
  if (response.status !== 200) throw new Error(`the stream is a ${response.status}: ${await response.text()}`)
  const got: { event: string | undefined; data: string }[] = []
  const parser = createParser({ onEvent: ({ event, data }) => got.push({ event, data }) })
  for await (const bytes of (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
    parser.feed(bytes)
    yield* got.splice(0)
  }
}

/** Packs the package of `repository`, and returns the path of the tarball in `folder`. */
export const pack = (repository: string, folder: string): string =>
  resolve(folder, runner(process.env)(repository, 'npm', 'pack', '--silent', '--pack-destination', folder).trim())

/** Installs a tarball of the package in `folder`, beside everything that `repository` has installed. */
export function installTarball(repository: string, folder: string, tarball: string): void {
  const [from, to] = [join(repository, 'node_modules'), join(folder, 'node_modules')]
  for (const name of ['rowkeeper', '.bin']) mkdirSync(join(to, name), { recursive: true })
  const programs = readdirSync(join(from, '.bin')).map((name) => join('.bin', name))
  for (const name of [...readdirSync(from).filter((name) => name !== '.bin'), ...programs]) {
    symlinkSync(join(from, name), join(to, name))
  }
  runner(process.env)(join(to, 'rowkeeper'), 'tar', 'xzf', tarball, '--strip-components=1')
  const program = join(to, 'rowkeeper/dist/src/commands/main.js')
  // Earlier versions had no such command.
  if (!existsSync(program)) return
  chmodSync(program, 0o755)
  symlinkSync(program, join(to, '.bin/rowkeeper'))
}
