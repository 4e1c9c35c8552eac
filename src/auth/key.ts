/** A key that verifies tokens. */
export class Key {
  /** The only algorithm of the key. A token that names another one is refused (RFC 8725 section 3.1). */
  readonly algorithm: string
  /** Whether the key signed a token. */
  readonly signed: (token: string) => boolean
  readonly #dependents = new Set<() => void>()
  #withdrawn = false

  constructor(algorithm: string, signed: (token: string) => boolean) {
    this.algorithm = algorithm
    this.signed = signed
  }

  /** Whether the issuer no longer publishes the key. Tokens that it verified are no longer valid then. */
  get withdrawn(): boolean {
    return this.#withdrawn
  }

  /** Calls `end` when the key is withdrawn, or at once if it already is. Returns a function that cancels the call. */
  onWithdrawn(end: () => void): () => void {
    if (this.#withdrawn) end()
    else this.#dependents.add(end)
    return () => void this.#dependents.delete(end)
  }

  /** Marks the key as no longer published by the issuer. */
  withdraw(): void {
    this.#withdrawn = true
    for (const end of this.#dependents) end()
    this.#dependents.clear()
  }
}
