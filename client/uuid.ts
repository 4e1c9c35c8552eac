import { hexOf } from './values.ts'

/** Makes a UUIDv7 (RFC 9562 section 5.7). @param time milliseconds since 1970 */
export function uuidv7(time: number): string {
  const [first = 0, ...bytes] = crypto.getRandomValues(new Uint8Array(10))
  const random = hexOf(bytes)
  const moment = Math.floor(time).toString(16).padStart(12, '0')
  const hex = `${moment}7${random.slice(15)}${'89ab'[first % 4]}${random}`
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5')
}
