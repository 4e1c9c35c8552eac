/** How often a command that npm started looks whether npm's shell is still there. */
const SHELL_CHECK_MS = 500

/**
 * Ends this process, if npm started it, when npm's shell has ended: npm passes a signal on to its shell, which ends
 * without passing it on.
 */
export function endWithShell() {
  if (process.env.npm_lifecycle_event === undefined) return
  const shell = process.ppid
  const check = () => process.ppid === shell || process.kill(process.pid, 'SIGTERM')
  setInterval(check, SHELL_CHECK_MS).unref()
}
