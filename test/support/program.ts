import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

/** A program of the build: what it printed so far, and how it ended. */
export interface Program {
  child: ChildProcess
  output: () => string
  /** Resolves with what `pattern` matched in the output, rejects when the program ends without it. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
  ended: Promise<{ code: number | null; signal: string | null; output: string }>
}

/** An empty working directory, gone with the test. */
export function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'rowkeeper-cwd-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The part of this environment that Node.js, npm and tap need. A program gets no setting with it. */
export const inherited = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) =>
      /^(PATH|HOME|TMPDIR|NODE_OPTIONS|NODE_V8|_?TAP|npm_config)/i.test(name)
    )
  )

/** Starts a program in `cwd`, with the environment `env`. */
export function launch(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv): Program {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const waiting = new Set<() => void>()
  const take = (chunk: Buffer) => {
    output += chunk
    for (const look of waiting) look()
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, output }))
  return {
    child,
    output: () => output,
    ended,
    printed: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = pattern.exec(output)
          if (match === null) return
          waiting.delete(look)
          resolve(match)
        }
        waiting.add(look)
        look()
        ended.then(() => reject(new Error(`ended without printing ${pattern}:\n${output}`)))
      })
  }
}

/**
 * Runs `dist/<file>` (or a file by its whole path) in `cwd` with no environment but `env` (and no delay at its end);
 * kills it at the end of the test.
 */
export function start(t: Test, file: string, cwd: string, env: Record<string, string>, args: string[] = []): Program {
  const path = resolve(fileURLToPath(new URL('../..', import.meta.url)), file)
  const program = launch(process.execPath, [path, ...args], cwd, {
    ...inherited(),
    SHUTDOWN_DELAY_MS: '0',
    ...env
  })
  t.teardown(async () => {
    program.child.kill('SIGKILL')
    await program.ended
  })
  return program
}
