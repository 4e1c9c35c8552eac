import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import type { FastifyBaseLogger } from 'fastify'
import { lock } from './lock.ts'

/** A started engine: the path of its socket, which speaks the PostgreSQL protocol to one connection at a time. */
export interface Embedded {
  socket: string
  close(): Promise<void>
}

/**
 * The memory for pages. The engine writes to all of it when it starts, which takes most of the start with PostgreSQL's
 * default of 128 MB. The system has the files in its own cache.
 */
const SHARED_BUFFERS = '16MB'

/** Windows has named pipes in the place of sockets (Node.js, "Identifying paths for IPC connections"). */
export const socketIn = (directory: string, platform = process.platform): string =>
  platform === 'win32' ? `\\\\.\\pipe\\${basename(directory)}` : join(directory, 'pg')

/**
 * Starts the embedded PostgreSQL (PGlite) on `folder`, which is made when it is missing, for its owner alone.
 *
 * @throws when another process uses the folder (`src/db/lock.ts`)
 */
export async function startEmbedded(folder: string, log: FastifyBaseLogger): Promise<Embedded> {
  const unlock = await lock(folder)
  // The engine makes its own files readable by everybody; the folder keeps everybody out.
  chmodSync(folder, 0o700)
  const engine = await PGlite.create(folder, {
    startParams: [...PGlite.defaultStartParams, '-c', `shared_buffers=${SHARED_BUFFERS}`]
  })
  // A socket, since a port would be open to every user of the machine; in a short path, since 107 bytes is the limit.
  const directory = mkdtempSync(join(tmpdir(), 'rowkeeper-'))
  const socket = socketIn(directory)
  const server = new PGLiteSocketServer({ db: engine, path: socket, maxConnections: 1 })
  await server.start()
  log.info({ folder }, 'embedded PostgreSQL started')
  return {
    socket,
    async close() {
      await server.stop()
      await engine.close()
      rmSync(directory, { recursive: true, force: true })
      unlock()
    }
  }
}
