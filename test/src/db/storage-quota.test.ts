import pino from 'pino'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { tasks } from '../../../src/db/schema.ts'
import { measureStored, StorageQuota } from '../../../src/db/storage-quota.ts'
import { idempotencyKeys } from '../../../src/db/system-tables.ts'
import { newUser, testConfig } from '../../support/app.ts'
import { replace } from '../../support/replace.ts'
import { taskStore } from '../../support/tasks.ts'

const [alice, bob] = ['alice', 'bob'] as unknown as [Owner, Owner]

/**
 * A quota of 6,400 bytes, of which 100 may be written without a measurement, and the stored bytes of each measured
 * user.
 */
function quotaOf(t: Test) {
  const stored = new Map<Owner, number>([
    [alice, 0],
    [bob, 0]
  ])
  let now = 1
  replace(t, performance, 'now', () => now)
  const measured: Owner[] = []
  const answers: (() => void)[] = []
  let held = false
  const quota = new StorageQuota(6400, async (owner) => {
    measured.push(owner)
    if (held) await new Promise<void>((resolve) => answers.push(resolve))
    const bytes = stored.get(owner)
    if (bytes === undefined) throw new Error('cannot be measured')
    return bytes
  })
  return {
    quota,
    stored,
    measurements: () => measured.splice(0).length,
    pass: (ms: number) => (now += ms),
    hold() {
      held = true
    },
    answer() {
      held = false
      for (const resolve of answers.splice(0)) resolve()
    }
  }
}

t.test('a user is measured once in each 64th of the quota that they write', async (t) => {
  const { quota, stored, measurements } = quotaOf(t)
  for (let i = 0; i < 10; i++) t.ok(await quota.hasRoom(alice, 10))
  t.equal(measurements(), 0, 'and not before')
  stored.set(alice, 100)
  t.ok(await quota.hasRoom(alice, 10))
  t.equal(measurements(), 1)
  quota.add(alice, 90)
  t.equal(measurements(), 0)
  t.ok(await quota.hasRoom(alice, 1), 'what is kept counts')
  t.equal(measurements(), 1)
  t.ok(await quota.hasRoom(bob, 100), 'each has an account of their own')
  t.equal(measurements(), 0)
  const unbounded = new StorageQuota(Number.POSITIVE_INFINITY, () => Promise.reject(new Error()))
  t.ok(await unbounded.hasRoom(alice, 2 ** 40), 'nobody is measured who may store anything')
})

t.test('who has stored the quota is refused what does not fit, until there is room', async (t) => {
  const { quota, stored, measurements, pass } = quotaOf(t)
  stored.set(alice, 6350)
  t.notOk(await quota.hasRoom(alice, 101))
  t.equal(measurements(), 1)
  t.ok(await quota.hasRoom(alice, 50), 'what fits is not')
  stored.set(alice, 6400)
  t.notOk(await quota.hasRoom(alice, 1))
  t.equal(measurements(), 1, 'nobody is refused by an estimate')
  for (let i = 0; i < 10; i++) t.notOk(await quota.hasRoom(alice, 1))
  t.equal(measurements(), 0, 'nor measured again when nothing was written')
  stored.set(alice, 100)
  quota.freed(alice)
  t.ok(await quota.hasRoom(alice, 10), 'after a delete they are')
  t.equal(measurements(), 1)

  stored.set(alice, 6400)
  t.notOk(await quota.hasRoom(alice, 6400))
  measurements()
  stored.set(alice, 0)
  pass(60_000)
  t.notOk(await quota.hasRoom(alice, 10))
  pass(1)
  t.ok(await quota.hasRoom(alice, 10), 'and a minute later, since other instances delete too')
  t.equal(measurements(), 1)
})

t.test('many writes of a user at once are measured once, and what they write meanwhile counts', async (t) => {
  const { quota, stored, measurements, hold, answer } = quotaOf(t)
  stored.set(alice, 6300)
  hold()
  const first = quota.hasRoom(alice, 101)
  const others = Array.from({ length: 5 }, () => quota.hasRoom(alice, 101))
  t.ok(await quota.hasRoom(alice, 60), 'what is small does not wait')
  t.equal(measurements(), 1)
  answer()
  t.same(await Promise.all([first, ...others]), [false, false, false, false, false, false])
  t.equal(measurements(), 0)
  t.ok(await quota.hasRoom(alice, 40))
  t.notOk(await quota.hasRoom(alice, 1000))
})

for (const rls of ['false', 'true']) {
  t.test(`what is measured is all that the owner has stored, and nothing else (DATABASE_RLS=${rls})`, async (t) => {
    const { database } = await testConfig({ DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' })
    const { prepare, close } = await openDatabase(database, pino({ level: 'silent' }))
    const [alice, bob] = [newUser('alice'), newUser('bob')] as [Owner, Owner]
    const store = taskStore((table) => ownedBy(prepare, table))
    const measure = measureStored(prepare, [tasks, idempotencyKeys])
    t.equal(await measure(alice), 0)
    await store.create(bob, { title: 'x' })
    t.equal(await measure(alice), 0)
    const { id } = await store.create(alice, { title: 'x', description: 'y'.repeat(1000) })
    const [one, small] = [await measure(alice), await measure(bob)]
    t.ok(small > 100 && small < 400, 'no task takes more than is estimated of it')
    t.ok(one > small + 1000 && one < small + 1010)
    const own = ownedBy(prepare, idempotencyKeys)
    const keep = own.prepare((own) =>
      own.insert({ key: 'k', digest: 'd', json: 'z'.repeat(500) }).returning({ key: idempotencyKeys.key })
    )
    await keep(alice)
    t.ok((await measure(alice)) > one + 500, 'kept answers too')
    await store.remove(alice, id)
    t.ok((await measure(alice)) < one)
    await close()
  })
}

t.test('a user who cannot be measured is told so, and measured again after ten seconds (issue 15)', async (t) => {
  const { quota, stored, measurements, pass } = quotaOf(t)
  stored.set(alice, 6400)
  t.notOk(await quota.hasRoom(alice, 101))
  t.equal(measurements(), 1)
  // It deleted something, which cannot be seen.
  quota.freed(alice)
  stored.delete(alice)
  for (let i = 0; i < 3; i++) await t.rejects(quota.hasRoom(alice, 10), { message: 'cannot be measured' })
  t.equal(measurements(), 1, 'once')
  stored.set(alice, 0)
  pass(10_000)
  t.ok(await quota.hasRoom(alice, 10), 'and is not refused for what it had before')
})
