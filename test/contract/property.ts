import fc from 'fast-check'

/** The most characters of a value in a message. */
const SHOWN = 400

/** A value as text that a terminal can show. */
export function shown(value: unknown): string {
  const text = fc.stringify(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** Where two values differ first, as a JSON Pointer, and the two values there. Undefined when they are the same. */
function difference(actual: unknown, expected: unknown, at = ''): [string, unknown, unknown] | undefined {
  if (Object.is(actual, expected)) return undefined
  if (!isObject(actual) || !isObject(expected) || Array.isArray(actual) !== Array.isArray(expected)) {
    return [at, actual, expected]
  }
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)])
  for (const name of names) {
    const found = difference(actual[name], expected[name], `${at}/${name}`)
    if (found !== undefined) return found
    if (name in actual !== name in expected) return [`${at}/${name}`, actual, expected]
  }
  return undefined
}

/** Throws unless two values of JSON are the same, and says where they differ first. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const found = difference(actual, expected)
  if (found === undefined) return
  const [at, got, wanted] = found
  throw new Error(`${what}${at && ` at ${at}`}: got ${shown(got)}, not ${shown(wanted)}`)
}

/**
 * Runs a property, and throws the first failure as it is. The report of fast-check would show all commands of a history
 * before the error, and shrinking a history takes minutes.
 */
export async function holds<T>(property: fc.IAsyncPropertyWithHooks<T>, runs: number, seed: number): Promise<void> {
  const { failed, numRuns, errorInstance } = await fc.check(property, { numRuns: runs, seed, endOnFailure: true })
  if (!failed) return
  const { message = String(errorInstance) } = errorInstance as Error
  throw new Error(`run ${numRuns} of ${runs} with the seed ${seed}: ${message}`, { cause: errorInstance })
}
