"""Registry."""
from gateway.sources import freshdesk, generic
SOURCES = {"freshdesk": freshdesk.SOURCE, "generic": generic.SOURCE}
