import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { socketIn } from '../../../src/db/embedded.ts'
import { testConfig } from '../../support/app.ts'
import { folder } from '../../support/program.ts'
import { TEMPLATE } from '../../support/template.ts'

t.test('the engine is reached by a socket, on Windows by a named pipe (issue 16)', async (t) => {
  t.equal(socketIn('/tmp/rowkeeper-a1B2c3', 'linux'), '/tmp/rowkeeper-a1B2c3/pg')
  t.equal(socketIn('/tmp/rowkeeper-a1B2c3', 'win32'), '\\\\.\\pipe\\rowkeeper-a1B2c3')
})

t.test('the engine keeps few pages in memory, because it writes to all of them when it starts', async (t) => {
  const path = join(folder(t), 'pg')
  cpSync(TEMPLATE, path, { recursive: true })
  const { database } = await testConfig({ DATABASE_URL: `pglite://${path}` })
  const { db, close } = await openClient(database, pino({ level: 'silent' }))
  t.same([...(await db.execute(sql`show shared_buffers`))], [{ shared_buffers: '16MB' }])
  await close()
})
