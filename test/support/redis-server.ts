import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { freePort } from './free-port.ts'

/** Why the tests that need a Redis do not run, if they do not: it takes `TEST_REDIS=1` and redis-server on the path. */
export const skip = process.env.TEST_REDIS === undefined && 'TEST_REDIS is not set'

/** A Redis of its own for `t`, which can be started, killed and signalled. */
export async function redisServer(t: Test) {
  const port = await freePort()
  let process: ChildProcess

  const server = {
    url: `redis://127.0.0.1:${port}`,

    async start() {
      const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no']
      process = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
      if (process.stdout === null) return
      for await (const line of createInterface(process.stdout)) if (line.includes('Ready to accept')) break
      process.stdout.resume()
    },

    async kill() {
      const gone = once(process, 'exit')
      process.kill('SIGKILL')
      await gone
    },

    signal: (name: NodeJS.Signals) => void process.kill(name),

    /** Runs one command. */
    async run(command: string, ...args: string[]): Promise<unknown> {
      const redis = new Redis(server.url)
      const answer = await redis.call(command, ...args)
      redis.disconnect()
      return answer
    }
  }
  await server.start()
  t.teardown(() => process.kill('SIGKILL'))
  return server
}
