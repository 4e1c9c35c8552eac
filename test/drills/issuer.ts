import { setTimeout as sleep } from 'node:timers/promises'
import { type KeyPair, keyPair, part } from '../support/key-pair.ts'
import { keyServer, publish } from '../support/key-server.ts'
import { afterwards } from './kit.ts'

const LIFE_SECONDS = 300
/** A page fetches a new token before the old one ends. */
const RENEW_MS = 200_000

/** An issuer that publishes its keys, as a Better Auth server does. */
export class Issuer {
  /** How long it takes to answer with its keys. */
  delayMs = 20
  readonly #url: string
  readonly #tokens = new Map<string, { token: string; until: number }>()
  #keys: KeyPair[] = [keyPair('EdDSA')]

  static async start(): Promise<Issuer> {
    const server = await keyServer({ teardown: afterwards })
    const issuer = new Issuer(new URL(server.url).origin)
    server.answer(async (request, response) => {
      await sleep(issuer.delayMs)
      publish(issuer.#keys.map(({ jwk }) => jwk))(request, response)
    })
    return issuer
  }

  private constructor(url: string) {
    this.#url = url
  }

  /** The variables with which a service accepts its tokens. */
  get env() {
    return { BETTER_AUTH_URL: this.#url }
  }

  /** A good token of the user, the same one until it is to be renewed. */
  token = (user: string): string => {
    const known = this.#tokens.get(user)
    if (known !== undefined && known.until > Date.now()) return known.token
    const token = this.#key.token(this.#claims(user))
    this.#tokens.set(user, { token, until: Date.now() + RENEW_MS })
    return token
  }

  /** A token with a bad signature. */
  forged(user: string, kid = this.#key.kid): string {
    const signature = Buffer.from(crypto.getRandomValues(new Uint8Array(64))).toString('base64url')
    return `${part({ alg: 'EdDSA', typ: 'JWT', kid })}.${part(this.#claims(user))}.${signature}`
  }

  /** Signs with a new key from now on, and publishes it beside the one before. Everybody's next token is a new one. */
  rotate() {
    this.#keys = [keyPair('EdDSA'), this.#key]
    this.#tokens.clear()
  }

  get #key(): KeyPair {
    const [key] = this.#keys
    if (key === undefined) throw new Error('an issuer has a key')
    return key
  }

  #claims(sub: string) {
    const iat = Math.floor(Date.now() / 1000)
    return { sub, iat, exp: iat + LIFE_SECONDS, iss: this.#url, aud: this.#url }
  }
}
