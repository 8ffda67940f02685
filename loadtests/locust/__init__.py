"""What runs inside a Locust process. Importing this patches the process (gevent): only ever a child process does."""
