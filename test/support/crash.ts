// The server, with an error in it that nobody catches once it gets this signal.
process.once('SIGUSR2', () => {
  throw new Error('nobody catches this')
})

const { start } = await import('../../src/server.ts')
await start()
