import { createHmac, randomBytes } from 'node:crypto'
import t from 'tap'
import { createMacCheck } from '../../../src/auth/mac.ts'

// RFC 7515 section 5.2, RFC 7518 section 3.2.
t.test('a MAC is of the whole of its input, of its own hash and whole itself', async (t) => {
  const secret = randomBytes(48).toString('base64')
  for (const [algorithm, hash] of Object.entries({ HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' })) {
    const hasMac = createMacCheck(secret, algorithm)
    const mac = (input: string, key = secret) => createHmac(hash, key).update(input).digest()
    const signed = (bytes: Buffer) => `a.b.${bytes.toString('base64url')}`
    t.ok(hasMac(signed(mac('a.b'))), algorithm)
    t.notOk(hasMac(signed(mac('a.c'))))
    t.notOk(hasMac(signed(mac('a.b', `${secret}x`))))
    t.notOk(hasMac(signed(mac('a.b').subarray(1))))
    t.notOk(hasMac(signed(Buffer.alloc(0))))
    t.notOk(hasMac(signed(createHmac('sha1', secret).update('a.b').digest())))
  }
})
