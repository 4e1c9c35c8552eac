import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { migrate } from '../../src/db/migrate.ts'
import { projectUnderTest, setupOfProcess } from './setup.ts'

interface Urls {
  owner: string
  /** For a role that row-level security binds. The embedded engine takes that role itself (`src/db/client.ts`). */
  restricted: string
}

let databases: Promise<Urls> | undefined

/**
 * The database of this process: an embedded one, or with `TEST_DATABASE_URL` (an administrator's) a new one on that
 * server. It is made on first use, and removed with the process.
 */
export async function databaseUrl(user: keyof Urls = 'owner'): Promise<string> {
  databases ??= newDatabase()
  return (await databases)[user]
}

/** Makes another one, for a test that changes its tables. */
export function newDatabase(): Promise<Urls> {
  const server = process.env.TEST_DATABASE_URL
  return server === undefined ? makeEmbedded() : makeOn(server)
}

/**
 * Undoes what a session has set. The engine writes its statistics when it has been idle for 10 seconds, and that timer
 * keeps the process alive. So they are written at once, and a statement timeout of 1 ms replaces the timer.
 */
const UNDO = ['rollback', 'discard all', 'set statement_timeout = 1', 'select pg_stat_force_next_flush()', 'reset all']

/**
 * Lets the applications of this process, which run one after the other, have one engine on `folder`: it takes longer to
 * start than most tests. What the session of one has set is undone before the next one.
 */
async function shareEngine(folder: string): Promise<void> {
  const { PGlite } = await import('@electric-sql/pglite')
  const create = PGlite.create.bind(PGlite)
  const start = async (options: object) => {
    const engine = await create(folder, options)
    const close = async () => {
      for (const statement of UNDO) await engine.exec(statement)
    }
    return Object.assign(engine, { close })
  }
  let shared: ReturnType<typeof start> | undefined
  Object.assign(PGlite, {
    create(path: string, options: object) {
      if (path !== folder) return create(path, options)
      shared ??= start(options)
      return shared
    }
  })
}

async function makeEmbedded(): Promise<Urls> {
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-test-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const data = join(folder, 'pg')
  await setupOfProcess().prepareFolder(data)
  await shareEngine(data)
  return { owner: `pglite://${data}`, restricted: `pglite://${data}` }
}

const connect = (url: string) => postgres(url, { max: 1, onnotice: () => {} })

async function makeOn(server: string): Promise<Urls> {
  const name = `rowkeeper_test_${process.pid}_${Date.now()}`
  const administrate = async (...statements: string[]) => {
    const admin = connect(server)
    for (const statement of statements) await admin.unsafe(statement)
    await admin.end()
  }
  await administrate(`create database ${name}`)
  // An open connection would keep the process alive, so each is closed before this can run.
  process.once('beforeExit', () => administrate(`drop database ${name} with (force)`, `drop role if exists ${name}`))
  const owner = Object.assign(new URL(server), { pathname: `/${name}` })
  const client = connect(owner.href)
  await migrate(drizzle({ client }), (await projectUnderTest()).migrations)
  await setupOfProcess().prepareServer(client, name)
  await client.end()
  return { owner: owner.href, restricted: Object.assign(new URL(owner), { username: name, password: name }).href }
}
