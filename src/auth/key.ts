/** A key that verifies tokens. */
export class Key {
  /** The one algorithm it is for; a token that names another is refused (RFC 8725 section 3.1). */
  readonly algorithm: string
  /** Whether the signature of a token is right. */
  readonly signed: (token: string) => boolean
  readonly #dependents = new Set<() => void>()
  #withdrawn = false

  constructor(algorithm: string, signed: (token: string) => boolean) {
    this.algorithm = algorithm
    this.signed = signed
  }

  /** Whether the issuer no longer publishes it. Verdicts that were reached with it end with it. */
  get withdrawn(): boolean {
    return this.#withdrawn
  }

  /** Calls `end` once the key is withdrawn, at once if it is already. Returns what cancels that. */
  onWithdrawn(end: () => void): () => void {
    if (this.#withdrawn) end()
    else this.#dependents.add(end)
    return () => void this.#dependents.delete(end)
  }

  /** The issuer no longer publishes the key. */
  withdraw(): void {
    this.#withdrawn = true
    for (const end of this.#dependents) end()
    this.#dependents.clear()
  }
}
