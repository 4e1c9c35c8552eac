import type { Test } from 'tap'

/**
 * Replaces a member of an object until the end of a test. tap's `intercept` records the stack of each use. For a clock
 * or a timer this takes longer than what the test does.
 */
export function replace<T extends object>(t: Test, object: T, name: keyof T, value: unknown): void {
  const own = Object.getOwnPropertyDescriptor(object, name)
  Object.defineProperty(object, name, { value, configurable: true, writable: true })
  t.teardown(() => {
    if (own === undefined) Reflect.deleteProperty(object, name)
    else Object.defineProperty(object, name, own)
  })
}
