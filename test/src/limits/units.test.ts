import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { ClientAddresses, trustedProxies } from '../../../src/limits/address.ts'
import { fixedWindows, MAX_KEYS } from '../../../src/limits/memory.ts'
import { CHECKS_PER_SECOND, VerificationBudget } from '../../../src/limits/verification-budget.ts'
import { stopClock } from '../../support/timers.ts'

/** How many checks that fail and take `ms` each the budget lets an address have, one after the other. */
function failing(budget: VerificationBudget, ms: number, address = 'a') {
  let count = 0
  for (; budget.tryAcquire(address); count++) budget.charge(address, ms)
  return count
}

t.test('past its budget an address has a share of the processor for its failing checks', async (t) => {
  const pass = stopClock(t)
  const budget = new VerificationBudget(2, 60_000)
  t.equal(failing(budget, 1), 2 + 200)
  pass(500)
  t.equal(failing(budget, 1), 100, 'which comes back with time')
  pass(10_000)
  t.equal(failing(budget, 0), CHECKS_PER_SECOND, 'up to that of a second, and no check is free')
  pass(1000)
  t.equal(failing(budget, 1000), 40, 'nor dearer than a check can be')
})

t.test('all addresses that are past their budget share a larger one, and the others do not need it', async (t) => {
  stopClock(t)
  const budget = new VerificationBudget(2, 60_000)
  t.strictSame(
    ['a', 'b', 'c', 'd'].map((address) => failing(budget, 1, address)),
    [202, 202, 2, 2]
  )
})

t.test('a check counts as failed until it has succeeded', async (t) => {
  const pass = stopClock(t)
  const budget = new VerificationBudget(2, 10_000)
  t.ok(budget.tryAcquire('a'))
  budget.release('a')
  t.equal(failing(budget, 5), 2 + 40)
  for (let times = 0; times < 50; times++) budget.release('a')
  t.equal(failing(budget, 5), 2)
  pass(10_000)
  budget.release('a')
  t.equal(failing(budget, 5), 2 + 40, 'one that is released late is none of this window')
})

t.test('what the limiter counted counts', async (t) => {
  const pass = stopClock(t)
  const budget = new VerificationBudget(2, 60_000)
  budget.sync('a', 1, 1000)
  t.equal(failing(budget, 5), 1 + 40)
  pass(1000)
  t.equal(failing(budget, 5), 2 + 40, 'in its window')
})

t.test('checks in flight still count when the limiter tells a count without them (issue 16)', async (t) => {
  stopClock(t)
  const budget = new VerificationBudget(10, 60_000)
  for (let times = 0; times < 5; times++) t.ok(budget.tryAcquire('a'))
  budget.sync('a', 1, 1000)
  t.equal(failing(budget, 5), 5 + 40)
})

t.test('without a budget every signature is checked', async (t) => {
  const budget = new VerificationBudget(null, 60_000)
  for (let times = 0; times < 10_000; times++) {
    if (!budget.tryAcquire('a')) t.fail('refused')
    budget.charge('a', 5)
  }
})

t.test('whom a request counts against', async (t) => {
  const warnings: unknown[] = []
  const addresses = new ClientAddresses({ warn: (...line: unknown[]) => void warnings.push(line) })
  const request = (ip: string | undefined, remoteAddress = ip) =>
    addresses.of({ ip, socket: { remoteAddress } } as unknown as FastifyRequest)
  t.equal(request('192.0.2.1'), '192.0.2.1')
  t.equal(request('::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(request('2001:DB8::1:2:3:4'), '2001:db8::')
  t.equal(request('fe80::1%eth0'), 'fe80::')
  t.equal(request(undefined), 'local', 'a Unix socket')
  for (const [element, address] of [
    ['192.0.2.1:4711', '192.0.2.1'],
    ['[2001:db8::1]', '2001:db8::'],
    ['[2001:db8::1]:4711', '2001:db8::'],
    ['2001:db8::1:51312', '2001:db8::'],
    ['2001:db8:0:0:1:2:3:4:4711', '2001:db8::'],
    ['[::ffff:192.0.2.1]:4711', '192.0.2.1'],
    ['[fe80::1%eth0]:80', 'fe80::']
  ] as const) {
    t.equal(request(element, '10.0.0.1'), address, `a proxy that adds the port (issue 16): ${element}`)
  }
  t.strictSame(warnings, [])
  const names = ['unknown', '_hidden:80', '192.0.2.1:', '192.0.2.1:123456', '192.0.2.256:80', '[192.0.2.1', '[]:80', '']
  for (const name of names) t.equal(request(name, '::ffff:10.0.0.1'), '10.0.0.1', name)
  t.strictSame(
    warnings,
    [[{ proxy: '::ffff:10.0.0.1' }, 'X-Forwarded-For names no address: the clients of this proxy share one budget']],
    'clients that share one budget are told once (issue 16)'
  )
})

t.test('memory is bounded: the least recently used key is forgotten', async (t) => {
  const count = fixedWindows()
  for (let i = 0; i < MAX_KEYS; i++) count(`${i}`, 1000, 0)
  t.equal(count('0', 1000, 0).count, 2)
  count('one more', 1000, 0)
  t.equal(count('0', 1000, 0).count, 3, 'used of late')
  t.equal(count('1', 1000, 0).count, 1, 'forgotten')
})

t.test('what names no address is no trusted proxy (issue 16)', async (t) => {
  const trusts = trustedProxies(['127.0.0.1'])
  t.equal(trusts('127.0.0.1:51312'), true)
  for (const element of ['nonsense', '', undefined]) t.equal(trusts(element), false, String(element))
})
