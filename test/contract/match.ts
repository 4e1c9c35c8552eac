/** Constructors of values that are no objects. */
const TYPES = new Map<unknown, string>([
  [String, 'string'],
  [Number, 'number'],
  [Boolean, 'boolean']
])

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/**
 * Whether a value has what a pattern has. A RegExp matches texts, and a constructor what it makes. An object or an
 * array matches what has its members, and maybe more. Everything else is the value itself.
 */
export function matches(value: unknown, pattern: unknown): boolean {
  if (pattern instanceof RegExp) return typeof value === 'string' && pattern.test(value)
  if (typeof pattern === 'function') {
    const type = TYPES.get(pattern)
    return type === undefined ? value instanceof pattern : typeof value === type
  }
  if (!isObject(pattern)) return Object.is(value, pattern)
  if (!isObject(value) || Array.isArray(value) !== Array.isArray(pattern)) return false
  return Object.entries(pattern).every(([name, one]) => matches(value[name], one))
}
