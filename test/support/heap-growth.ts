import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { Connection, type ConnectionOptions } from '../../src/db/connection.ts'

// This is a thread, because the embedded engine uses the heap of its own.
setFlagsFromString('--expose-gc')
const collect: (options: object) => void = runInNewContext('gc')
const connection = new Connection(workerData as ConnectionOptions)

/** Returns how many bytes more are in use after so many statements, each with a row of a thousand bytes. */
async function growth(statements: number): Promise<number> {
  for (let i = 0; i < 2; i++) collect({ type: 'minor' })
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < statements; i++) await connection.send("select repeat('x', 1000)")
  for (let i = 0; i < 2; i++) collect({ type: 'minor' })
  return process.memoryUsage().heapUsed - before
}

await growth(2000)
const bytes = await growth(2000)
await connection.end(0)
parentPort?.postMessage(bytes)
