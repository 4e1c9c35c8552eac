import { chromium } from 'playwright-core'

/**
 * Debian's Chromium, or that of `CHROMIUM`: without a sandbox, since CI is root, and without what it asks the network
 * for itself.
 */
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync'
    ]
  })
