import { setImmediate as turn } from 'node:timers/promises'
import pino from 'pino'
import t from 'tap'
import { Connection } from '../../../src/db/connection.ts'
import { classify } from '../../../src/db/errors.ts'
import { LISTEN_AGAIN_MS, LISTENER_CHECK_MS, Listener } from '../../../src/db/listener.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { Slot } from '../../../src/db/slot.ts'
import { WATCHDOG_CHECK_MS } from '../../../src/db/watchdog.ts'
import { testConfig } from '../../support/app.ts'
import { proxyTo } from '../../support/proxy.ts'
import { holdTimers } from '../../support/timers.ts'

const silent = pino({ level: 'silent' })

t.test(
  'who listens is told when it begins, and goes on after each loss, and after an attempt that failed',
  async (t) => {
    const again = holdTimers(t, LISTEN_AGAIN_MS)
    const to = await proxyTo(t, 'owner')
    const { listen, close } = await openDatabase((await testConfig({ DATABASE_URL: to.url })).database, silent)
    let missed = () => {}
    const begins = () => new Promise<void>((resolve) => (missed = resolve))

    to.close()
    const arrived = to.next()
    const first = listen(
      () => {},
      () => missed()
    )
    await arrived
    to.cut()
    t.equal(await first.catch(classify), 'unavailable')
    to.open()
    for (const lose of [again.fire, to.cut, to.reset]) {
      const begun = begins()
      void lose()
      await begun
    }
    t.equal(to.connections(), 4)

    // Closing plans no further attempt.
    again.forget()
    await close()
    t.equal(again.count(), 0)
  }
)

t.test('who listens is asked whether it is there, and is replaced when it does not answer (issue 16)', async (t) => {
  const checks = holdTimers(t, WATCHDOG_CHECK_MS)
  const probes = holdTimers(t, LISTENER_CHECK_MS)
  const to = await proxyTo(t, 'owner')
  const { listen, close } = await openDatabase((await testConfig({ DATABASE_URL: to.url })).database, silent)
  t.teardown(close)
  let begins = () => {}
  const begun = () => new Promise<void>((resolve) => (begins = resolve))
  const first = begun()
  const listening = listen(
    () => {},
    () => begins()
  )
  probes.run()
  await Promise.all([first, listening])
  to.vanish()
  const again = begun()
  probes.run()
  // A listener may owe its answer for the longest statement and one second.
  for (let i = 0; i < 9; i++) checks.run()
  t.equal(to.connections(), 1)
  checks.run()
  to.cut()
  await again
  t.equal(to.connections(), 2)
})

t.test('an instance listens on every node that it is given (issue 19)', async (t) => {
  const again = holdTimers(t, LISTEN_AGAIN_MS)
  const to = await proxyTo(t, 'owner')
  // The embedded engine has one session, so the other node is one that is down.
  const env = { DATABASE_URL: to.url, DATABASE_LISTEN_URLS: `${to.url} postgres://127.0.0.1:1/down` }
  const { listen, close } = await openDatabase((await testConfig(env)).database, silent)
  let begun = () => {}
  const listening = new Promise<void>((resolve) => (begun = resolve))
  const heard = listen(
    () => {},
    () => begun()
  ).catch(({ code }) => code)
  await listening
  t.equal(await heard, 'ECONNREFUSED')
  t.equal(again.count(), 1, 'it tries again')
  again.forget()
  await close()
})

t.test('a connection that closes as it answers is not taken for one that listens (issue 19)', async (t) => {
  const again = holdTimers(t, LISTEN_AGAIN_MS)
  const sent: string[] = []
  // A server cannot be made to answer and close in one packet. This stands for a connection that gets such a packet.
  const slot = new Slot((attempt, _delayMs, { onClose }) => {
    const send = async (text: string) => {
      sent.push(`${attempt} ${text}`)
      if (attempt === 0) onClose()
      return []
    }
    return Object.assign(Object.create(Connection.prototype), { send, end: async () => {} })
  })
  let begun = 0
  const listener = new Listener(
    slot,
    () => {},
    () => begun++
  )
  await listener.begin()
  t.equal(begun, 0)
  again.runAll()
  t.same(sent, ['0 listen "rowkeeper"', '1 listen "rowkeeper"'])
  await turn()
  t.equal(begun, 1)
  listener.close()
  await slot.end()
})
