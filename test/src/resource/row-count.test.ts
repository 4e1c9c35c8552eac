import postgres from 'postgres'
import t from 'tap'
import { uuidv7 } from '../../../src/http/uuid.ts'
import { mount } from '../../contract/mount.ts'
import { asUser, build, databaseUrl, newUser } from '../../support/app.ts'
import { foldersResource } from '../../support/papers.ts'

const MAX = 2

t.test(
  'a recount waits for what is being created, and counts it (issue 20)',
  { skip: process.env.TEST_DATABASE_URL === undefined && 'the embedded engine has one session' },
  async (t) => {
    t.intercept(foldersResource.declaration, 'maxOf', { value: () => MAX, configurable: true })
    const app = await build(t, { RATE_LIMIT_MAX: 'off' }, (app) => mount(app, foldersResource))
    const user = newUser()
    const create = (name: string) =>
      app.inject({ method: 'POST', url: '/api/folders', headers: asUser(user), payload: { name } })
    const { id } = (await create('first')).json()
    t.equal((await create('second')).statusCode, 201)
    // Nothing counts it off, so the next create does.
    await app.inject({ method: 'DELETE', url: `/api/folders/${id}`, headers: asUser(user) })

    const other = postgres(await databaseUrl(), { max: 1 })
    t.teardown(() => other.end())
    await other`begin`
    await other`select from row_counts where user_id = ${user} for update`
    await other`insert into folders (user_id, id, name) values (${user}, ${uuidv7()}, 'of another instance')`
    let answered = false
    const last = create('third').finally(() => {
      answered = true
    })
    const waits = async () => {
      // A transaction looks at the sessions once.
      await other`select pg_stat_clear_snapshot()`
      return other`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    }
    while (!answered && (await waits()).length === 0);
    await other`commit`
    t.match((await last).json(), { code: 'quota_exceeded' })
  }
)
