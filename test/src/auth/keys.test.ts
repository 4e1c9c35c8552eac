import { randomUUID } from 'node:crypto'
import type { RequestListener } from 'node:http'
import type { FastifyBaseLogger } from 'fastify'
import t, { type Test } from 'tap'
import { Key } from '../../../src/auth/key.ts'
import { type Clock, KeyStore } from '../../../src/auth/keys.ts'
import { loadConfig } from '../../../src/config/config.ts'
import { claimsOf } from '../../support/app.ts'
import { ALGORITHMS } from '../../support/issuer.ts'
import { keyPair } from '../../support/key-pair.ts'
import { keyServer, publish, send, until } from '../../support/key-server.ts'
import { verifying } from '../../support/verify.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

const first = keyPair('EdDSA', 'first')
const second = keyPair('EdDSA', 'second')
const header = { alg: 'EdDSA', kid: 'first' }

/** A clock that a test sets. */
function testClock() {
  let now = 0
  let made = 0
  let timers: { at: number; run: () => void }[] = []
  const clock: Clock = {
    now: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run }
      timers.push(timer)
      made++
      return () => {
        timers = timers.filter((one) => one !== timer)
      }
    }
  }
  return {
    clock,
    advance(ms: number) {
      now += ms
      for (const timer of timers.filter(({ at }) => at <= now)) timer.run()
    },
    /** How many timers there were. */
    made: () => made,
    /** Milliseconds to each timer that runs. */
    timers: () => timers.map(({ at }) => at - now).sort((a, b) => a - b)
  }
}

/** A store with its server, clock and log; settled, when its first fetch is over. */
async function setUp(t: Test, answer: RequestListener = publish([first.jwk]), algorithms = ALGORITHMS) {
  const server = await keyServer(t, answer)
  const time = testClock()
  const lines: { level: string; message: string; [field: string]: unknown }[] = []
  const write = (level: string) => (fields: object | string, message?: string) =>
    void lines.push(
      typeof fields === 'string' ? { level, message: fields } : { level, message: message ?? '', ...fields }
    )
  const log = { info: write('info'), warn: write('warn'), error: write('error') } as unknown as FastifyBaseLogger
  const keys = new KeyStore(server.url, algorithms, log, time.clock)
  t.teardown(() => keys.close())
  const find = (header: Parameters<KeyStore['ask']>[0]) => keys.held(header) ?? keys.ask(header)
  const store = Object.assign(keys, { find })
  const fetched = (count: number) => until(() => server.fetches() === count)
  /**
   * Waits until the background fetch that follows so many timers is over. It sets a timer for its time limit, and one
   * for the pause after it.
   */
  const settled = (made = 0) => until(() => time.made() >= made + 2 && time.timers().length === 1)
  /** Lets time pass to the next fetch in the background, and waits until that is over. */
  const refreshed = async (ms: number) => {
    const made = time.made()
    time.advance(ms)
    await settled(made)
  }
  const has = (level: string, message: RegExp) =>
    lines.filter((one) => one.level === level && message.test(one.message))
  return { server, time, lines, has, store, fetched, settled, refreshed }
}

const isKey = (value: unknown): value is Key => value instanceof Key

t.test('keys are fetched at the start, and a key verifies what it signed', async (t) => {
  const { store, settled, has, server } = await setUp(t)
  t.equal(store.hasKeys(), false)
  const early = store.find(header)
  t.ok(early instanceof Promise, 'a token that comes first waits for the keys')
  await settled()
  t.equal(store.hasKeys(), true)
  const key = await store.find(header)
  t.equal(key, await early)
  t.ok(isKey(key) && key.signed(first.token({})))
  t.notOk(isKey(key) && key.signed(second.token({})))
  t.equal(server.fetches(), 1)
  t.strictSame(has('info', /obtained/), [
    { level: 'info', message: 'published keys obtained', keys: 1, kids: ['first'], ignored: 0 }
  ])
})

t.test('a token of the last of 500 keys is verified, and only its key is made ready (issue 16)', async (t) => {
  const others = Array.from({ length: 499 }, (_, n) => ({ ...second.jwk, kid: `old ${n}` }))
  const { store, settled, lines } = await setUp(t, publish([...others, first.jwk]))
  await settled()
  t.equal(store.stats().held, 500)
  const key = await store.find(header)
  t.ok(isKey(key) && key.signed(first.token({})))
  t.equal(store.held(header), key, 'ready, without a promise')
  t.ok(store.held({ alg: 'EdDSA', kid: 'old 0' }) instanceof Promise)
  t.match(lines, [{ keys: 500, kids: { length: 20 }, ignored: 0 }], 'and what is logged of them is bounded')
})

t.test('a key that is named by many at once is made ready once, and the same for all', async (t) => {
  const { store, settled } = await setUp(t)
  await settled()
  const [one, other] = await Promise.all([store.find(header), store.find(header)])
  t.ok(isKey(one))
  t.equal(one, other)
})

t.test('a set that has not changed changes nothing', async (t) => {
  const { store, settled, refreshed, lines } = await setUp(t)
  await settled()
  const key = await store.find(header)
  await refreshed(5 * MINUTE)
  t.equal(await store.find(header), key)
  t.equal(lines.length, 1)
})

t.test('a withdrawn key stops working within ten minutes, a kept one stays the same', async (t) => {
  const { store, settled, refreshed, server } = await setUp(t, publish([first.jwk, second.jwk]))
  await settled()
  const old = await store.find(header)
  const kept = await store.find({ alg: 'EdDSA', kid: 'second' })
  server.answer(publish([second.jwk]))
  await refreshed(5 * MINUTE)
  t.match(old, { withdrawn: true })
  t.match(kept, { withdrawn: false })
  t.equal(await store.find({ alg: 'EdDSA', kid: 'second' }), kept)
})

t.test('a kid that comes back with another key is another key', async (t) => {
  const { store, settled, refreshed, server } = await setUp(t)
  await settled()
  const old = await store.find(header)
  server.answer(publish([keyPair('EdDSA', 'first').jwk]))
  await refreshed(5 * MINUTE)
  t.match(old, { withdrawn: true })
  t.not(await store.find(header), old)
})

t.test('a kid whose key changes its algorithm is another key', async (t) => {
  const rsa = keyPair('RS256', 'rsa')
  const { store, settled, refreshed, server } = await setUp(t, publish([rsa.jwk]))
  await settled()
  const old = await store.find({ alg: 'RS256', kid: 'rsa' })
  server.answer(publish([{ ...rsa.jwk, alg: 'PS256' }]))
  await refreshed(5 * MINUTE)
  t.match(old, { withdrawn: true })
  t.match(await store.find({ alg: 'PS256', kid: 'rsa' }), { algorithm: 'PS256', withdrawn: false })
})

t.test('a withdrawn key ends the verdicts that were reached with it', async (t) => {
  const { store, settled, refreshed, server, time } = await setUp(t)
  await settled()
  const { auth } = loadConfig({ NODE_ENV: 'test', BETTER_AUTH_URL: 'http://127.0.0.1' })
  const verify = verifying(auth, store.find)
  const token = first.token(claimsOf('alice', { iss: 'http://127.0.0.1', aud: 'http://127.0.0.1' }))
  t.match(await verify(token), { sub: 'alice' })
  t.match(verify(token), { sub: 'alice' })
  server.answer(publish([second.jwk]))
  await refreshed(5 * MINUTE)
  const late = verify(token)
  t.ok(late instanceof Promise)
  time.advance(SECOND)
  t.equal(await late, 'token_key')
})

t.test('a rotated key that is used at once is accepted after one fetch', async (t) => {
  const { store, settled, server, time } = await setUp(t)
  await settled()
  time.advance(SECOND)
  server.answer(publish([first.jwk, second.jwk]))
  t.ok(isKey(await store.find({ alg: 'EdDSA', kid: 'second' })))
  t.equal(server.fetches(), 2)
})

t.test('a key that is published while a fetch is in flight is found by the next, a second later', async (t) => {
  const { store, settled, server, time, fetched } = await setUp(t)
  await settled()
  time.advance(SECOND)
  let release = () => {}
  server.answer((request, response) => {
    release = () => publish([first.jwk])(request, response)
  })
  const stranger = store.find({ alg: 'EdDSA', kid: 'stranger' })
  await fetched(2)
  const rotated = store.find({ alg: 'EdDSA', kid: 'second' })
  server.answer(publish([first.jwk, second.jwk]))
  release()
  t.equal(await stranger, 'token_key')
  time.advance(SECOND)
  t.ok(isKey(await rotated))
  t.equal(server.fetches(), 3)
})

t.test('a thousand tokens with unknown kids cause one fetch a second', async (t) => {
  const { store, settled, server, time } = await setUp(t)
  await settled()
  const flood = () => Array.from({ length: 1000 }, () => store.find({ alg: 'EdDSA', kid: randomUUID() }))
  const early = flood()
  t.equal(server.fetches(), 1, 'the first fetch was less than a second ago')
  t.ok(isKey(await store.find(header)), 'known keys do not wait')
  time.advance(SECOND)
  const answers = await Promise.all(early)
  t.ok(answers.every((answer) => answer === 'token_key'))
  t.equal(server.fetches(), 2)
  const late = flood()
  time.advance(SECOND - 1)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(server.fetches(), 2)
  time.advance(1)
  await Promise.all(late)
  t.equal(server.fetches(), 3)
})

t.test('while the issuer hangs there is no second fetch, however many ask (issue 16)', async (t) => {
  const { store, settled, server, time, fetched } = await setUp(t)
  await settled()
  server.answer((request, response) => {
    if (request.method === 'HEAD') response.end()
  })
  const early = store.find({ alg: 'EdDSA', kid: 'early' })
  time.advance(SECOND)
  await fetched(2)
  time.advance(SECOND + 1)
  const late = store.find({ alg: 'EdDSA', kid: 'late' })
  // A fetch that began would arrive before this one's answer.
  await fetch(server.url, { method: 'HEAD' })
  t.equal(server.fetches(), 3, 'ours alone came')
  time.advance(SECOND)
  t.equal(await early, 'keys_unavailable')
  t.equal(await late, 'keys_unavailable')
})

t.test('a token without kid is for the only key of its algorithm', async (t) => {
  const { store, settled, server, refreshed } = await setUp(t, publish([{ ...first.jwk, kid: undefined }]))
  await settled()
  const key = await store.find({ alg: 'EdDSA' })
  t.ok(isKey(key) && key.signed(first.token({}, { kid: undefined })))
  t.ok(store.find({ alg: 'EdDSA', kid: 'first' }) instanceof Promise, 'and one with a kid is not for a key without')
  server.answer(publish([first.jwk, second.jwk]))
  await refreshed(5 * MINUTE)
  t.equal(await store.find({ alg: 'EdDSA' }), 'token_key', 'two fit')
  t.ok(store.find({ alg: 'ES256' }) instanceof Promise, 'none fits, so far')
})

t.test('down at the start: unavailable, tried again ever less often, and well as soon as the issuer is', async (t) => {
  const { store, settled, server, time, has, refreshed } = await setUp(t, send('', 503))
  t.equal(await store.find(header), 'keys_unavailable')
  await settled()
  const waits: (number | undefined)[] = []
  for (let i = 0; i < 6; i++) {
    waits.push(time.timers()[0])
    await refreshed(time.timers()[0] ?? 0)
  }
  t.strictSame(
    waits,
    [1, 2, 4, 8, 16, 30].map((seconds) => seconds * SECOND)
  )
  t.equal(store.hasKeys(), false)
  t.strictSame(has('warn', /./), [
    { level: 'warn', message: 'published keys cannot be fetched', url: server.url, reason: 'status 503' }
  ])
  server.answer(publish([first.jwk]))
  await refreshed(30 * SECOND)
  t.ok(isKey(await store.find(header)))
  t.equal(has('info', /again/).length, 1)
  t.strictSame(time.timers(), [5 * MINUTE])
})

t.test('the log names the URL and the status that a fetch failed with, each reason once (issue 16)', async (t) => {
  const { settled, server, has, refreshed } = await setUp(t, send('', 502))
  await settled()
  await refreshed(SECOND)
  server.answer(send('', 404))
  await refreshed(2 * SECOND)
  await refreshed(4 * SECOND)
  t.match(has('warn', /cannot be fetched/), [
    { url: server.url, reason: 'status 502' },
    { url: server.url, reason: 'status 404' }
  ])
  t.equal(has('warn', /cannot be fetched/).length, 2)
})

t.test('a token brings the keys of an issuer that was down before the background does', async (t) => {
  const { store, settled, server, time, refreshed } = await setUp(t, send('', 503))
  await settled()
  await refreshed(SECOND)
  server.answer(publish([first.jwk]))
  const key = store.find(header)
  time.advance(SECOND)
  t.ok(isKey(await key))
})

t.test('down later: the keys are kept for a day and then no longer', async (t) => {
  const { store, settled, server, time, has, refreshed } = await setUp(t)
  await settled()
  const key = await store.find(header)
  server.answer(send('', 500))
  await refreshed(5 * MINUTE)
  t.equal(await store.find(header), key)
  const unknown = store.find({ alg: 'EdDSA', kid: 'second' })
  time.advance(SECOND)
  t.equal(await unknown, 'keys_unavailable', 'whether there is such a key nobody can say')
  await refreshed(23 * HOUR)
  t.equal(await store.find(header), key)
  await refreshed(HOUR)
  t.match(key, { withdrawn: true })
  t.equal(store.hasKeys(), false)
  t.equal(has('error', /too long/).length, 1)
  t.equal(has('warn', /cannot be fetched/).length, 1)
  server.answer(publish([first.jwk]))
  await refreshed(30 * SECOND)
  t.ok(isKey(await store.find(header)), 'the same set is as good as before')
})

t.test('refusing connections is an outage', async (t) => {
  const { store, settled, server, has, refreshed } = await setUp(t)
  await settled()
  await server.stop()
  await refreshed(5 * MINUTE)
  t.match(has('warn', /cannot/), [{ reason: 'ECONNREFUSED' }])
  t.ok(isKey(await store.find(header)))
  await server.start()
  await refreshed(SECOND)
  t.equal(has('info', /again/).length, 1)
})

const ROGUE = publish([second.jwk])

const faults: [name: string, answer: RequestListener, reason: string | RegExp][] = [
  [
    'redirecting',
    (request, response) =>
      request.url === '/elsewhere'
        ? ROGUE(request, response)
        : response.writeHead(302, { location: '/elsewhere' }).end(),
    'unexpected redirect'
  ],
  [
    'an endless body',
    (_request, response) => {
      const more = () => {
        while (response.write('x'.repeat(16_384)));
        response.once('drain', more)
      }
      response.writeHead(200)
      more()
    },
    'too large'
  ],
  [
    'a body cut short',
    (_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{"keys":[')
      setImmediate(() => response.destroy())
    },
    /SOCKET|terminated/
  ],
  ['invalid JSON', send('<html>'), 'not JSON'],
  ['invalid UTF-8', send(Buffer.from('{"keys":[],"x":"\xff"}', 'latin1')), 'ERR_ENCODING_INVALID_ENCODED_DATA'],
  ['no object', send('[]'), 'not a key set'],
  ['null', send('null'), 'not a key set'],
  ['no keys', send('{"keys":{}}'), 'not a key set'],
  ['no content', send('', 204), 'status 204'],
  ['not found', send('{"keys":[]}', 404), 'status 404'],
  ['an empty body', send(''), 'not JSON']
]

for (const [name, answer, reason] of faults) {
  t.test(`fault drill: ${name}`, async (t) => {
    const { store, settled, server, refreshed, has } = await setUp(t, answer)
    t.equal(await store.find(header), 'keys_unavailable')
    await settled()
    t.match(has('warn', /cannot be fetched/), [{ reason }])
    server.answer(publish([first.jwk]))
    await refreshed(SECOND)
    const key = await store.find(header)
    t.ok(isKey(key))
    server.answer(answer)
    await refreshed(5 * MINUTE)
    t.equal(await store.find(header), key, 'and the keys are kept')
    t.equal(has('warn', /cannot be fetched/).length, 2)
  })
}

for (const [name, answer] of [
  ['hanging', () => {}],
  ['slow', (_request, response) => response.writeHead(200).write('{"keys":[')]
] satisfies [string, RequestListener][]) {
  t.test(`fault drill: ${name}`, async (t) => {
    const { store, settled, time, fetched, has } = await setUp(t, answer)
    const waiting = store.find(header)
    await fetched(1)
    time.advance(2 * SECOND)
    t.equal(await waiting, 'keys_unavailable')
    await settled()
    t.match(has('warn', /cannot be fetched/), [{ reason: 'no whole answer in time' }])
  })
}

t.test('fault drill: wrong keys', async (t) => {
  const { store, settled, server, refreshed, has } = await setUp(t, publish([{ kty: 'oct', k: 'AAAA', kid: 'first' }]))
  t.equal(await store.find(header), 'keys_unavailable')
  await settled()
  t.strictSame(has('warn', /./), [
    { level: 'warn', message: 'published key ignored', kid: 'first', reason: 'it is not public' },
    { level: 'warn', message: 'no usable key is published: no token can be verified', url: server.url }
  ])
  server.answer(publish([first.jwk]))
  await refreshed(SECOND)
  t.ok(isKey(await store.find(header)))
})

t.test('closing ends the fetch in flight, and whoever waits', async (t) => {
  const { store, fetched, time, lines, server } = await setUp(t, () => {})
  const waiting = store.find(header)
  await fetched(1)
  store.close()
  t.equal(await waiting, 'keys_unavailable')
  t.equal(await store.find(header), 'keys_unavailable')
  await until(() => time.timers().length === 0)
  t.equal(lines.length, 0)
  t.equal(server.fetches(), 1)
})

t.test('closing ends the pause between fetches', async (t) => {
  const { store, settled, time, server } = await setUp(t)
  await settled()
  const waiting = store.find({ alg: 'EdDSA', kid: 'unknown' })
  await until(() => time.timers().length === 2)
  store.close()
  t.equal(await waiting, 'keys_unavailable')
  t.strictSame(time.timers(), [])
  t.equal(server.fetches(), 1)
})
