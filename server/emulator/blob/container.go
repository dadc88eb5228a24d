package blob

import (
	"net/http"
	"slices"
)

// write sets the headers that every answer about a container has.
func (c *container) write(h http.Header) {
	c.stamp.write(h)
	c.metadata.write(h)
	h.Set("X-Ms-Lease-State", "available")
	h.Set("X-Ms-Lease-Status", "unlocked")
	h.Set("X-Ms-Has-Immutability-Policy", "false")
	h.Set("X-Ms-Has-Legal-Hold", "false")
}

// createContainer is Create Container.
func (e *Endpoint) createContainer(c *call) (answer, error) {
	if c.Header.Get("X-Ms-Blob-Public-Access") != "" {
		return answer{}, publicAccessRefused
	}
	meta, err := metadataOf(c.Header)
	if err != nil {
		return answer{}, err
	}
	s := &e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.containers[c.container] != nil {
		return answer{}, containerAlreadyExists
	}
	cost := blobCost + meta.size()
	if cost > s.limit-s.used {
		return answer{}, s.full()
	}
	s.used += cost
	made := &container{stamp: s.stamped(), metadata: meta, entries: map[string]*entry{}}
	s.containers[c.container] = made
	a := answer{status: http.StatusCreated, header: http.Header{}}
	made.stamp.write(a.header)
	return a, nil
}

// deleteContainer is Delete Container. The name is free at once, while Azure
// keeps it for half a minute.
func (e *Endpoint) deleteContainer(c *call) (answer, error) {
	s := &e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	gone, err := s.find(c.container)
	if err != nil {
		return answer{}, err
	}
	if err := c.checkWrite(&gone.stamp, conditionNotMet); err != nil {
		return answer{}, err
	}
	s.used -= blobCost + gone.metadata.size()
	for _, one := range gone.entries {
		s.used -= one.pendingCost()
		if one.blob != nil {
			s.used -= one.blob.cost
		}
	}
	delete(s.containers, c.container)
	return answer{status: http.StatusAccepted, header: http.Header{}}, nil
}

// getContainer is Get Container Properties and Get Container Metadata.
func (e *Endpoint) getContainer(c *call) (answer, error) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	found, err := e.store.find(c.container)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, header: http.Header{}}
	found.write(a.header)
	return a, nil
}

// setContainerMetadata is Set Container Metadata: all of it is replaced.
func (e *Endpoint) setContainerMetadata(c *call) (answer, error) {
	meta, err := metadataOf(c.Header)
	if err != nil {
		return answer{}, err
	}
	s := &e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(c.container)
	if err != nil {
		return answer{}, err
	}
	if err := c.checkWrite(&found.stamp, conditionNotMet); err != nil {
		return answer{}, err
	}
	more := meta.size() - found.metadata.size()
	if more > s.limit-s.used {
		return answer{}, s.full()
	}
	s.used += more
	found.metadata, found.stamp = meta, s.stamped()
	a := answer{status: http.StatusOK, header: http.Header{}}
	found.stamp.write(a.header)
	return a, nil
}

// getServiceProperties is Get Blob Service Properties: all is off.
func (e *Endpoint) getServiceProperties(*call) (answer, error) {
	const off = `<Version>1.0</Version><Enabled>false</Enabled><RetentionPolicy><Enabled>false</Enabled></RetentionPolicy>`
	a := answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/xml"}}}
	a.body = bytesContent([]byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<StorageServiceProperties>` +
		`<Logging><Version>1.0</Version><Delete>false</Delete><Read>false</Read><Write>false</Write>` +
		`<RetentionPolicy><Enabled>false</Enabled></RetentionPolicy></Logging>` +
		`<HourMetrics>` + off + `</HourMetrics><MinuteMetrics>` + off + `</MinuteMetrics><Cors />` +
		`<DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy>` +
		`<StaticWebsite><Enabled>false</Enabled></StaticWebsite></StorageServiceProperties>`))
	return a, nil
}

// getAccountInfo is Get Account Information, which SDKs ask at all levels.
func (e *Endpoint) getAccountInfo(*call) (answer, error) {
	a := answer{status: http.StatusOK, header: http.Header{}}
	a.header.Set("X-Ms-Sku-Name", "Standard_LRS")
	a.header.Set("X-Ms-Account-Kind", "StorageV2")
	a.header.Set("X-Ms-Is-Hns-Enabled", "false")
	return a, nil
}

// containerNames are the names from a name on, in order. The store is locked.
func (s *store) containerNames(from string) []string {
	list := make([]string, 0, len(s.containers))
	for name := range s.containers {
		if name >= from {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
