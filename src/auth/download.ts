import { KeySetError } from './jwk.ts'

/** Some 1,000 RSA keys, or 2,500 of Ed25519. */
const MAX_BYTES = 512 * 1024

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The text at `url`: of a 200, from nowhere else, and of bounded size. */
export async function download(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, {
    // An answer that a cache between us and the issuer kept could be older than a key that is in use.
    headers: { accept: 'application/jwk-set+json, application/json', 'cache-control': 'no-cache' },
    // Whoever can make the issuer redirect could otherwise name the keys.
    redirect: 'error',
    signal
  })
  if (response.status !== 200) throw new KeySetError(`status ${response.status}`)
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Null only for a status that has no body.
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new KeySetError('too large')
    chunks.push(chunk)
  }
  return utf8.decode(Buffer.concat(chunks))
}

/** Why a fetch failed, for the log, without a stack. The reason of a network error is in its cause. */
export function reasonOf(error: unknown): string {
  const { cause = error } = error as { cause?: unknown }
  const { code, message } = cause as NodeJS.ErrnoException
  return code ?? message
}
