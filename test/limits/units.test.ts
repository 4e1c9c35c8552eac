import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { addressOf } from '../../src/limits/address.ts'
import { Gate } from '../../src/limits/gate.ts'
import { fixedWindows, MAX_KEYS } from '../../src/limits/memory.ts'
import { stopClock } from './clock.ts'

t.test('the gate counts a check as failed until it has succeeded', async (t) => {
  const pass = stopClock(t)
  const gate = new Gate(2, 60_000)
  const admitted = (address = 'a') => Array.from({ length: 9 }, () => gate.admit(address)).filter(Boolean).length
  t.equal(admitted(), 2 + 5)
  for (let i = 0; i < 7; i++) gate.refund('a')
  t.equal(admitted(), 2, 'all had succeeded, and the checks of this second are used up')
  pass(1000)
  t.equal(admitted(), 5)
  gate.learn('b', 1, 10_000)
  t.equal(admitted('b'), 1 + 5)
  pass(10_000)
  gate.refund('b')
  t.equal(admitted('b'), 2 + 5, 'a refund of the last window is none in this')
})

t.test('whom a request counts against', async (t) => {
  const request = (ip: string | undefined, remoteAddress?: string) =>
    addressOf({ ip, socket: { remoteAddress } } as unknown as FastifyRequest)
  t.equal(request('192.0.2.1'), '192.0.2.1')
  t.equal(request('::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(request('2001:DB8::1:2:3:4'), '2001:db8::')
  t.equal(request('fe80::1%eth0'), 'fe80::')
  t.equal(request('192.0.2.1:4711', '10.0.0.1'), '10.0.0.1', 'a proxy that adds the port')
  t.equal(request('unknown', '::ffff:10.0.0.1'), '10.0.0.1')
  t.equal(request(undefined), 'local', 'a Unix socket')
})

t.test('memory is bounded: the least recently used key is forgotten', async (t) => {
  const count = fixedWindows()
  for (let i = 0; i < MAX_KEYS; i++) count(`${i}`, 1000, 0)
  t.equal(count('0', 1000, 0).count, 2)
  count('one more', 1000, 0)
  t.equal(count('0', 1000, 0).count, 3, 'used of late')
  t.equal(count('1', 1000, 0).count, 1, 'forgotten')
})
