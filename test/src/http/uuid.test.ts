import fc from 'fast-check'
import t, { type Test } from 'tap'
import { isRecentUuidv7, timeOf as textOf, uuidv7, uuidv7s } from '../../../src/http/uuid.ts'
import { replace } from '../../support/replace.ts'

const UUIDV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
/** The time in an id, in milliseconds. */
const timeOf = (id: string) =>
  Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) + Number.parseInt(id.slice(15, 18), 16) / 4096

/**
 * Mock clocks that are later than those of the tests before. `pass` moves both on, and `set` sets the wall clock.
 */
let started = Date.now() + 60_000
function clocks(t: Test) {
  started += 86_400_000
  let [wall, elapsed] = [started, performance.now()]
  replace(t, Date, 'now', () => Math.floor(wall))
  replace(t, performance, 'now', () => elapsed)
  return {
    wall: () => wall,
    pass(ms: number) {
      wall += ms
      elapsed += ms
    },
    set(ms: number) {
      wall += ms
    }
  }
}

t.test('ids are UUIDs of version 7, of now, and different', async (t) => {
  const [before, ids] = [Date.now(), uuidv7s(10_000)]
  for (const id of ids) t.match(id, UUIDV7)
  t.equal(new Set(ids.map((id) => id.slice(19))).size, ids.length)
  t.ok(timeOf(ids[0] ?? '') >= before && timeOf(ids[0] ?? '') <= Date.now() + 1)
})

t.test("issue 15: one's own ids tell nothing of how many others were made in between", async (t) => {
  const { pass } = clocks(t)
  const starts = new Set<string>()
  let rising = 0
  for (let others = 0; others < 1000; others++) {
    const first = uuidv7()
    if (others % 100 === 0) uuidv7s(others)
    const second = uuidv7()
    for (const id of [first, second]) starts.add(id.slice(0, 18))
    if (first < second) rising++
  }
  t.equal(starts.size, 1, 'the time is all that they have in common')
  // By chance it would be out of these bounds in one of 10^100 runs.
  t.ok(rising > 150 && rising < 850, 'what is behind it is in no order')

  const before = uuidv7()
  pass(1)
  uuidv7s(5000)
  const elapsed = timeOf(uuidv7()) - timeOf(before)
  t.ok(elapsed > 0.999 && elapsed < 1.001, 'and it goes on with the clock')
})

t.test('ids of one call are in its order, and behind those of calls before, within a millisecond too', async (t) => {
  const { pass } = clocks(t)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 2, maxLength: 50 }), async (counts) => {
      const ids = counts.flatMap((count) => {
        // As long as the time that so many ids are ahead of the clock.
        pass((count + 1) / 4096)
        const made = uuidv7s(count)
        pass(count / 4096)
        return made
      })
      return ids.join() === [...ids].sort().join()
    }),
    { numRuns: 200 }
  )
})

t.test('a clock that was set back a little is waited for, one that was set back far is followed', async (t) => {
  const { pass, set, wall } = clocks(t)
  let last = uuidv7()
  const next = () => {
    pass(1)
    const id = uuidv7()
    const later = id > last
    last = id
    return later
  }
  set(-5000)
  for (let i = 0; i < 100; i++) t.ok(next(), 'still in order')
  set(7000)
  t.ok(next(), 'set forward')
  t.ok(Math.abs(timeOf(last) - wall()) <= 1, 'it has the time of the wall clock again')
  set(-3_600_000)
  t.notOk(next())
  t.ok(Math.abs(timeOf(last) - wall()) <= 1, 'an hour back it is followed')
  t.ok(next(), 'and in order from there')
})

t.test('the time of ids is in their order, to the microsecond (issue 16)', async (t) => {
  t.equal(textOf('0190163d-8694-7000-aea5-966c26f8ad91'), '2024-06-14T10:14:09.300000Z')
  t.equal(textOf('0190163d-8694-7fff-aea5-966c26f8ad91'), '2024-06-14T10:14:09.300999Z')
  const times = uuidv7s(10_000).map(textOf)
  t.same(times, [...times].sort())
  t.ok(new Set(times).size > 2000)
})

t.test('an id that a client makes is of about now, a day either way (issue 20)', async (t) => {
  const now = Date.parse('2030-01-01T12:00:00Z')
  replace(t, Date, 'now', () => now)
  const idAt = (ms: number, rest = '-7000-8000-000000000000') => {
    const time = ms.toString(16).padStart(12, '0')
    return `${time.slice(0, 8)}-${time.slice(8)}${rest}`
  }
  const day = 86_400_000
  for (const ms of [now - day, now, now + day]) {
    t.ok(isRecentUuidv7(idAt(ms)))
    t.ok(isRecentUuidv7(idAt(ms).toUpperCase()))
    t.equal(Date.parse(textOf(idAt(ms).toUpperCase())), ms)
  }
  for (const ms of [now - day - 1, now + day + 1, 0, 2 ** 48 - 1]) t.notOk(isRecentUuidv7(idAt(ms)))
  for (const rest of ['-4000-8000-000000000000', '-7000-c000-000000000000', '-7000-8000-00000000000', '']) {
    t.notOk(isRecentUuidv7(idAt(now, rest)), rest)
  }
})
