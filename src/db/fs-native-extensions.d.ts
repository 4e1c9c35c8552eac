/** The package has no types of its own; this is the one function that we use (its README, `tryLock`). */
declare module 'fs-native-extensions' {
  /** Takes an exclusive lock on an open file; false when another descriptor holds it. It ends with the descriptor. */
  export function tryLock(fd: number): boolean
}
